"""The operating system: priorities, memory, native output, signals, child processes."""
