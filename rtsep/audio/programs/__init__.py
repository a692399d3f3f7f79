"""Programs whose sound is taken out of the system's output, on Linux: what plays, taking it, putting it back."""
