"""Crops of songs: drawn, mixed, augmented, batched."""
