"""Signal processing: NumPy, FFTW and numba, no torch."""
