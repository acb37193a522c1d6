# on top of right.py
def why_scale():
    return {
        "variance": 8,
        "deviation": 16,
        "variance_of_halves": 4,
        "scale_of_a_head": 0.125,
        "ratio_without_scale": 3**8,
        "gradient_of_an_even_bet": 0.25,
    }
