# expect: status=failed score=0 says="SIGKILL"
"""Signal 9 to itself, inside a call: no exception, no report."""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    os.kill(os.getpid(), 9)
