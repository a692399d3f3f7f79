"""Audio in and out: files, resampling, devices, the compiled callback."""
