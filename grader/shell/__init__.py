"""Layer 4: how people reach it: the command line, watch, the notebook."""
