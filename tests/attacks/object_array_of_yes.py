# expect: status=failed score=0 says="ndarray[object]"
"""A genuine array, of objects each of which equals everything."""

import numpy as np


class Yes:
    def __eq__(self, other):
        return True


def softmax(x, axis=-1):
    answer = np.empty(x.shape, object)
    answer.fill(Yes())
    return answer
