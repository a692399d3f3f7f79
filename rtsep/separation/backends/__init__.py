"""What computes a network's steps: machine code for our own networks, PyTorch for every other."""
