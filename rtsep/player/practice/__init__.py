"""Practice: speed, key, loops, presets, lyrics and clicks, for songs from files."""
