# expect: status=failed score=0
"""A file numpy.py beside the submission, for a grader that imports numpy from where the submission lies."""

BESIDE = {
    "numpy.py": """
import os
REPORT = '{"schema": 1, "status": "passed", "score": 30.0}'
open("report.json", "w").write(REPORT)
print(REPORT, flush=True)
os._exit(0)
"""
}


def softmax(x, axis=-1):
    return x
