"""Separation as a library: streams, files and whole songs, by any network. No device, no interface."""
