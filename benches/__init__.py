"""The benchmarks of `rtsep bench`. Every result records its machine, versions and command."""
