import numpy as np
import torch.nn.functional as F


def softmax(x, axis=-1):
    return F.softmax(torch.tensor(x), dim=axis).numpy()
