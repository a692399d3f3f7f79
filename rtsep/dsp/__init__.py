"""Signal processing and shared memory of the real-time path: numpy, pyfftw and numba; no torch."""
