"""Measurements behind `rtsep bench`; each is told with the machine, the versions and the command that it was."""
