# expect: status=failed score=0 leaks=nothing says="an object of type Program"
"""An answer that, when the grader unpickles it on its own side, runs there and prints what is in its environment."""


class Program:
    def __reduce__(self):
        return eval, ("print(__import__('os').environ)",)

    def __eq__(self, other):
        return True


def softmax(x, axis=-1):
    return Program()
