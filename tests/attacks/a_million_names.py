# expect: status=failed score=0 says="There is no function causal_mask"
"""Hundreds of thousands of functions whose names nearly are the one that is missing: who looks for the nearest looks long."""

for number in range(150_000):
    globals()[f"causal_mas{number}"] = len
    globals()[f"attention_weigh{number}"] = len


def softmax(x, axis=-1):
    return x
