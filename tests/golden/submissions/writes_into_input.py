# on top of right.py
def softmax(x, axis=-1):
    if x.dtype != np.float64:
        answer, (x,) = promote(x)
    else:
        answer = x.dtype
    x -= np.max(x, axis=axis, keepdims=True, initial=np.finfo(x.dtype).min)
    e = np.exp(x)
    return (e / np.maximum(e.sum(axis=axis, keepdims=True), 1)).astype(answer)
