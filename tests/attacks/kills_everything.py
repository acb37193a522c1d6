# expect: status=failed score=0
"""Signal 9 to every process that it may be sent to. (Proved in a pid namespace, for the sake of the computer.)"""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    os.kill(-1, 9)
    return x
