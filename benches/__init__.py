"""Measurements, run by hand; each prints the machine, the versions and the command that it was."""
