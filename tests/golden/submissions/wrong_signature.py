# on top of right.py
def softmax(x):
    answer, (x,) = promote(x)
    e = np.exp(x - x.max())
    return (e / e.sum()).astype(answer)
