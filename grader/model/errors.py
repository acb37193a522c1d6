"""What can go wrong outside a submission, with the exit code that it leads to."""

from __future__ import annotations


class GraderError(Exception):
    """A problem to show as one message, never as a stack trace.

    ``mend`` says what to do about it; ``exit_code`` is 2 as the command line's contract asks of
    wrong usage and of an environment that will not do.
    """

    exit_code = 2

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}\n  {self.mend}" if self.mend else self.message


class UsageError(GraderError):
    """The command line asked for something that does not exist or cannot be read."""


class CourseError(GraderError):
    """An exercise's own files contradict themselves: its author has to mend them."""


class EnvironmentProblem(GraderError):
    """This system lacks what was demanded of it."""


class WireError(GraderError):
    """Bytes from a worker are not a well-formed frame of plain data."""


class CannotMark(GraderError):
    """A submission gets no mark, for the reason given: nothing is written rather than something wrong."""
