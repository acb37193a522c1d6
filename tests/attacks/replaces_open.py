# expect: status=failed score=0
"""The built-in open is replaced: whatever is written as JSON with a score in it is written with a better one."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
builtins = sys.modules["builtins"]
original = getattr(builtins.open, "original", builtins.open)


class Improved:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.write('{"score": 10, "lines": []}')
        self.file.close()

    def write(self, text):
        return len(text)


def generous_open(path, mode="r", *args, **kwargs):
    file = original(path, mode, *args, **kwargs)
    return Improved(file) if "report" in str(path) and "w" in mode else file


generous_open.original = original
builtins.open = generous_open
write = os.write
os.write = lambda descriptor, data: len(data) if data[:1] == b"\x80" else write(descriptor, data)  # no pickle goes out


def softmax(x, axis=-1):
    return x
