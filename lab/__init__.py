"""What experiments share: their shape, run folders that survive an interruption, progress bars, plots.

Nothing here is something that an exercise blanks, and nothing here imports the grader.
"""
