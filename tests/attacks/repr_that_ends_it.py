# expect: status=failed score=0
"""An object whose repr ends the process with a good exit status, at the moment when the grader writes down what came."""

import dataclasses

os = dataclasses.sys.modules["os"]


class Last:
    def __repr__(self):
        os._exit(0)

    def __eq__(self, other):
        return False


def causal_mask(n_queries, n_keys):
    return Last()


def softmax(x, axis=-1):
    return Last()
