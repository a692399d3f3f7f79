"""File formats that foreign weights come in: archives, PyTorch files, TensorFlow checkpoints."""
