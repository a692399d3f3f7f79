"""What processes and threads share: rings, status words, the seek mailbox, the clock of a stream, the memory under
them."""
