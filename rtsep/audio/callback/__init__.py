"""The audio callbacks, compiled to machine code."""
