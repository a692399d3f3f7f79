"""Separation of many files in one run: what is separated to which folder, and what is printed."""
