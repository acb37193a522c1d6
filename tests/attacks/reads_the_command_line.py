# expect: status=failed score=0 leaks=nothing
"""Prints the arguments that the process was started with, and those of its parent."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
print(sys.argv, sys.orig_argv)
for path in ("/proc/self/cmdline", f"/proc/{os.getppid()}/cmdline"):
    try:
        print(open(path, "rb").read())
    except OSError as error:
        print(error)


def softmax(x, axis=-1):
    return x
