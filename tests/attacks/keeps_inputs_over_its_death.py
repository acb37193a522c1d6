# expect: status=failed score=0 leaks=nothing
"""Writes the questions to a file, dies, and prints them when it is loaded once more."""

import dataclasses

os = dataclasses.sys.modules["os"]
try:
    print(open("kept").read())
except OSError:
    pass


def softmax(x, axis=-1):
    with open("kept", "a") as file:
        file.write(str(x.tolist()))
    if x.shape[0] > 2:
        os.kill(os.getpid(), 9)
    return x
