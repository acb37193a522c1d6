# expect: status=failed score=0
"""An object whose `__del__`, run when the interpreter clears up, writes the report anew."""

import dataclasses

os = dataclasses.sys.modules["os"]
os.write = lambda descriptor, data: len(data)


class Last:
    def __del__(self, write=open):
        with write("report.json", "w") as report:
            report.write('{"score": 10, "lines": [], "status": "passed"}')


kept = Last()


def softmax(x, axis=-1):
    return x
