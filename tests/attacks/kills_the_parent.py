# expect: status=broken score=0
"""The grader itself is killed."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
os.kill(os.getppid(), 9)


def softmax(x, axis=-1):
    return x
