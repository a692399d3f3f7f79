"""The commands that work on many songs: what is printed of each, and what of the whole run."""
