# expect: status=failed score=0 outcome=timeout
"""SIGSTOP: the process neither answers nor ends."""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    os.kill(os.getpid(), 19)
