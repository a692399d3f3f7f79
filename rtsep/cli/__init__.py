"""Commands. Each one is imported only when it is called, so `rtsep --help` is quick."""
