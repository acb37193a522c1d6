# expect: status=failed score=0 leaks=nothing
"""The question is the name of the function in which it fails, and in another call of one that is not written yet."""


def fail(name, error):
    def f():
        raise error

    f.__code__ = f.__code__.replace(co_name=name)
    f()


def softmax(x, axis=-1):
    fail(str(x.ravel()[:4].tolist()), ValueError)


def attention_weights(q, k, mask=None, scale=None):
    fail(str(q.ravel()[:4].tolist()), NotImplementedError)
