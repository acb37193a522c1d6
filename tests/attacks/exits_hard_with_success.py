# expect: status=failed score=0 says="ended its process"
"""`os._exit(0)` in the middle of the first call: no handler, no report, and a good exit status."""

import dataclasses

os = dataclasses.sys.modules["os"]


def softmax(x, axis=-1):
    os._exit(0)
