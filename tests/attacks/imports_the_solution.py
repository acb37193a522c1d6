# expect: status=broken score=0 says="may not be imported"
"""The right answers lie in a module with an easy name; it is imported and asked."""

import solution

softmax = solution.softmax
attention_weights = solution.attention_weights
causal_mask = solution.causal_mask
