"""What a check file imports: the assertions. The fixtures ``student``, ``reference``, ``draw`` and ``rng`` come by name."""

from grader.logic.asserting import assert_close, assert_raises, assert_that, assert_unchanged

__all__ = ["assert_close", "assert_raises", "assert_that", "assert_unchanged"]
