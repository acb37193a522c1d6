"""Layer 1: pure functions; no files, no processes, no terminal."""
