"""A training run: loop, optimisers, checkpoints, processes, log."""
