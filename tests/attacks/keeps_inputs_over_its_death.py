# expect: status=failed score=0 leaks=nothing
"""Writes the questions to a file, dies, and prints them when it is loaded once more."""

import dataclasses

os = dataclasses.sys.modules["os"]
for name in ("kept", "/tmp/attack-kept"):
    try:
        print(open(name).read())
        os.unlink(name)
    except OSError:
        pass


def softmax(x, axis=-1):
    for name in ("kept", "/tmp/attack-kept"):
        try:
            with open(name, "a") as file:
                file.write(str(x.tolist()))
        except OSError:
            pass
    if x.shape[0] > 2:
        os.kill(os.getpid(), 9)
    return x
