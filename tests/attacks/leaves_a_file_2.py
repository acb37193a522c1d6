# expect: status=failed score=0 leaks=nothing
"""Second of two submissions: prints, before it is asked anything, what the first one left behind."""

import dataclasses

os = dataclasses.sys.modules["os"]
PLACES = (".", "/tmp", "/dev/shm", "/var/tmp", "/scratch", "/run", os.environ.get("HOME", "."))

for place in PLACES:
    try:
        print(open(f"{place}/attack-left-this").read())
        os.unlink(f"{place}/attack-left-this")
    except OSError:
        pass


def softmax(x, axis=-1):
    return x
