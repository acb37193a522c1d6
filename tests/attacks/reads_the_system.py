# expect: status=failed score=0 leaks=nothing
"""Reads what any user of the machine may read: accounts, host names, mounts, logs."""

for path in (
    "/etc/passwd",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/machine-id",
    "/proc/mounts",
    "/proc/net/tcp",
    "/var/log/dpkg.log",
):
    try:
        print(open(path).read()[:2000])
    except OSError as error:
        print(error)


def softmax(x, axis=-1):
    return x
