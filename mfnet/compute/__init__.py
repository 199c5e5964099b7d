"""How work is spread: over processes (executor) and over threads in compiled kernels (compiled)."""
