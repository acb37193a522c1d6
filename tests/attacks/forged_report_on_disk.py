# expect: status=broken score=0
"""Writes the reports that graders are known to write, and ends the process before anything is checked."""

import dataclasses

os = dataclasses.sys.modules["os"]
FULL = '{"schema": 1, "status": "passed", "score": 10, "max_score": 10, "checks": [], "lines": []}'

for path in ("report.json", "results.json", "../report.json", ".grader/progress.json"):
    try:
        with open(path, "w") as report:
            report.write(FULL)
    except OSError:
        pass
os._exit(0)
