"""nbgrader's configuration for this folder: Validate, the button and the command, runs this course's public checks."""

from grader.shell.in_nbgrader import configure

configure(get_config())  # noqa: F821
