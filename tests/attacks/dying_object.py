# expect: status=failed score=0
"""An object whose `__del__`, run when the interpreter clears up, writes the report anew."""

import dataclasses

os = dataclasses.sys.modules["os"]
write = os.write
os.write = lambda descriptor, data: len(data) if data[:1] == b"\x80" else write(descriptor, data)  # no pickle goes out


class Last:
    def __del__(self, open=open):
        with open("report.json", "w") as report:
            report.write('{"score": 10, "lines": [], "status": "passed"}')


kept = Last()


def softmax(x, axis=-1):
    return x
