# expect: status=failed score=0 leaks=nothing
"""A forbidden module by the back door: a shell is started to read what the process itself does not."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
COMMAND = "cat solution.py ../solution.py /etc/passwd; env"

try:
    os.system(COMMAND)
    print(os.popen(COMMAND).read())
except Exception as error:
    print(type(error).__name__)


def softmax(x, axis=-1):
    return x
