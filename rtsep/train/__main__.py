"""`torchrun --nproc-per-node N -m rtsep.train ...`: `rtsep train` in each of the processes that torchrun starts."""

import sys

from rtsep.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
