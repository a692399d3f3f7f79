"""What computes a network's steps: machine code for rtsep's own networks on a CPU, PyTorch for all others.

compiled    the frame transformer, by numba on one CPU thread
constant    constant gains, for measuring what everything else costs
eager       PyTorch, call by call: on a CPU, and on CUDA where steps differ
graph       PyTorch's CUDA kernels, captured once for each chunk size and replayed without Python
"""
