# expect: status=failed score=0 leaks=nothing
"""First of two submissions: writes what it is asked to wherever it can, for the second one to find."""

import dataclasses

os = dataclasses.sys.modules["os"]
PLACES = (".", "/tmp", "/dev/shm", "/var/tmp", "/scratch", "/run", os.environ.get("HOME", "."))


def softmax(x, axis=-1):
    for place in PLACES:
        try:
            with open(f"{place}/attack-left-this", "a") as file:
                file.write(f"{x.tolist()}\n")
        except OSError:
            pass
    return x
