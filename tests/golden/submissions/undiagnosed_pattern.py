# on top of right.py
def softmax(x, axis=-1):
    answer, (x,) = promote(x)
    largest = np.max(x, axis=axis, keepdims=True, initial=np.finfo(x.dtype).min)
    e = np.exp(x - largest)
    return (100 * e / np.maximum(e.sum(axis=axis, keepdims=True), 1)).astype(answer)
