# expect: status=failed score=0 leaks=nothing
"""Puts links into its own folder that lead to the grader's files, and opens what then seems to be its own."""

import dataclasses

sys = dataclasses.sys
os = sys.modules["os"]
TARGETS = ["solution.py", "/srv/course/solutions/attention.py", "/etc/passwd", "../../proc/self/environ"]

for number, target in enumerate(TARGETS):
    for link in (os.symlink, os.link):
        try:
            link(os.path.abspath(target) if "proc" not in target else target, f"link{number}{link.__name__}")
            print(open(f"link{number}{link.__name__}").read()[:4000])
        except OSError as error:
            print(error.errno)


def softmax(x, axis=-1):
    return x
