"""The engine of the course kit: it plans, runs and judges submissions (docs/architecture.md)."""

__version__ = "0.1.0"
