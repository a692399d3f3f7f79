"""The terminal interface: keys pressed, status line, messages, and text that is safe to show."""
