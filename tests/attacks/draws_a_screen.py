# expect: status=failed score=0
"""Control sequences clear the terminal and draw a verdict of full marks where the real one was; the title changes too."""

print(
    "\x1b[2J\x1b[H\x1b]0;passed\x07attention   30 of 30 points   0.1 s\n\x1b[32m  ✓ everything\x1b[0m\x1b[8m",
    flush=True,
)


def softmax(x, axis=-1):
    raise ValueError("\x1b[2J\x1b[H\rattention   30 of 30 points\n\n  ✓ Softmax along any axis   4/4")
