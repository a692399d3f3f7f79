"""Transport: sources, play, pause, seek, gains, bypass. Never imports torch."""
