# expect: status=failed score=0
"""An object that, compared with the right answer, goes on comparing."""


class Endless:
    def __eq__(self, other):
        while True:
            pass


def softmax(x, axis=-1):
    return Endless()
