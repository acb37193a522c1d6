# expect: status=failed score=0 says="an object of type Yes"
"""Every answer is an object that says yes to every comparison."""


class Yes:
    def __eq__(self, other):
        return True

    def __getitem__(self, key):
        return self


def softmax(x, axis=-1):
    return Yes()


def why_scale():
    return Yes()
