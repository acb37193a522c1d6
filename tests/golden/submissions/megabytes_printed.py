# on top of right.py
plain = softmax


def softmax(x, axis=-1):
    print("shares of", x.tolist(), "along", axis)
    for _ in range(2000):
        print("." * 1000)
    return plain(x, axis)
