"""What plays: the queue of songs, where it plays, and the decoder that feeds it."""
