"""Live separation: the worker process, its supervision, its pace and latency."""
