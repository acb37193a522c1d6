# expect: status=failed score=0
"""A file sitecustomize.py beside the submission: Python runs it at every start at which it finds it."""

BESIDE = {
    "sitecustomize.py": """
import os
REPORT = '{"schema": 1, "status": "passed", "score": 30.0}'
open("report.json", "w").write(REPORT)
print(REPORT, flush=True)
os._exit(0)
"""
}


def softmax(x, axis=-1):
    return x
