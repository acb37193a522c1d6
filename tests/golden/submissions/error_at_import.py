# on top of right.py
print(softmax(np.array([1.0, 2.0])))
print(softmax([1.0, 2.0]))
