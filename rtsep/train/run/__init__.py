"""A training run: loop, optimisers, checkpoints, distributed processes, log."""
