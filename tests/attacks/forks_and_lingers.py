# expect: status=failed score=0
"""Children that live on hold the output open: whoever reads it to the end waits for them."""

import dataclasses

sys = dataclasses.sys
os, time = sys.modules["os"], sys.modules["time"]


def softmax(x, axis=-1):
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            time.sleep(6)
            os._exit(0)
    return x
