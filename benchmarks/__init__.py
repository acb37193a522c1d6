"""What the kit claims about itself, measured. ``python -m benchmarks`` exits with 1 when a claim is missed."""
