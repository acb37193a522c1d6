"""Layer 0: the words of the engine as plain types, and its errors."""
