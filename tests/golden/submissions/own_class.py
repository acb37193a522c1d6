# on top of right.py
class Shares:
    def __init__(self, numbers):
        self.numbers = numbers


plain = softmax


def softmax(x, axis=-1):
    return Shares(plain(x, axis))
