"""Shared between processes and threads: rings, status fields, the seek mailbox, stream clocks, shared memory."""
