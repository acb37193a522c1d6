# on top of right.py
def softmax(x, axis=-1):
    from scipy.special import softmax

    return softmax(x, axis=axis)
