"""Scores of a network on songs with known stems."""
