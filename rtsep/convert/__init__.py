"""Other people's checkpoints, read without running anything of theirs, to bundles that play."""
