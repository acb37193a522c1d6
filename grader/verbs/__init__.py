"""Layer 3: what the grader can do: check, build, verify, run, doctor."""
