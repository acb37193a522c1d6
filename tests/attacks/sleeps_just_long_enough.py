# expect: status=failed score=0 outcome=timeout says="and they are spent"
"""Each call stays within what one call may take, and all of them together take an hour."""

import dataclasses

sleep = dataclasses.sys.modules["time"].sleep


def softmax(x, axis=-1):
    sleep(0.7)
    return x


attention_weights = causal_mask = scaled_dot_product_attention = lambda *args, **kwargs: sleep(0.7)


def why_scale():
    sleep(0.7)
    return {}
