# on top of right.py
count = 0
while count < 10:
    softmax(np.arange(3.0))
