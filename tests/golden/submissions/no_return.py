# on top of right.py
def softmax(x, axis=-1):
    answer, (x,) = promote(x)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    shares = e / e.sum(axis=axis, keepdims=True)
