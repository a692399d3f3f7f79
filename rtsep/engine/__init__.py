"""The separation engine: worker process, rings and clock, dry fallback, statistics."""
