"""Layer 2: files, processes, the sandbox and what runs inside it."""
