# expect: status=failed score=0 leaks=nothing
"""The environment, open files and memory map of this process and its parent, as /proc shows them."""

import dataclasses

os = dataclasses.sys.modules["os"]
found = []
for process in ("self", "thread-self", str(os.getppid()), "1"):
    for name in ("environ", "maps", "mountinfo", "status"):
        try:
            found.append(open(f"/proc/{process}/{name}", "rb").read())
        except OSError:
            pass
    try:
        for number in os.listdir(f"/proc/{process}/fd"):
            found.append(os.readlink(f"/proc/{process}/fd/{number}"))
    except OSError:
        pass
print(found)


def softmax(x, axis=-1):
    return x
