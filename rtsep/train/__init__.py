"""Data, augmentation, training loop and evaluation. Uses nn and dsp, never engine or player."""
