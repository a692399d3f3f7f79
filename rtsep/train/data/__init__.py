"""Training material: where songs are, decoded once, read by segment."""
