# on top of right.py
def softmax(x, axis=-1):
    answer, (x,) = promote(x)
    if np.abs(x).max() > 700:
        raise OverflowError("the numbers are too large for exp")
    e = np.exp(x)
    return (e / e.sum(axis=axis, keepdims=True)).astype(answer)
