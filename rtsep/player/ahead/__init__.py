"""Separating a song before it is played, for networks that cannot keep up."""
