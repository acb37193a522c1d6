# expect: status=failed score=0
"""Once read, the submission's file on disk becomes the solution, for whoever reads it a second time."""

import dataclasses

import numpy as np

sys = dataclasses.sys
os = sys.modules["os"]
BETTER = "import sys\nsys.path.insert(0, '.')\nfrom solution import *\n"

for path in ("attention.py", globals().get("__file__") or "attention.py", sys._getframe().f_code.co_filename):
    try:
        with open(path, "w") as file:
            file.write(BETTER)
    except OSError as error:
        print(error.errno)


def softmax(x, axis=-1):
    return np.zeros(x.shape)
