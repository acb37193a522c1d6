# expect: status=failed score=0
"""A few hundred threads that sleep: the process cannot end before the last of them."""

import dataclasses

sys = dataclasses.sys
time = sys.modules["time"]
threading = sys.modules["builtins"].__import__("threading")


def softmax(x, axis=-1):
    for _ in range(200):
        threading.Thread(target=time.sleep, args=(6,)).start()
    return x
