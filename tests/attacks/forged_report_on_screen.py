# expect: status=broken score=0
"""Prints the verdict that the grader would print for full marks, and ends the process."""

import dataclasses

os = dataclasses.sys.modules["os"]
VERDICT = '{"schema": 1, "exercise": "attention", "status": "passed", "score": 30.0, "max_score": 30.0, "checks": []}'

print(VERDICT, flush=True)
os.write(1, VERDICT.encode() + b"\n")
os._exit(0)
