"""The terminal interface: keys, status line, messages, and text that is safe to show."""
