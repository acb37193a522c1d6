# expect: status=failed score=0
"""A sequence without an end; whoever makes an array of it never comes back."""


class Endless:
    def __len__(self):
        return 1 << 40

    def __getitem__(self, key):
        return 1.0

    def __eq__(self, other):
        return False


def softmax(x, axis=-1):
    return Endless()
