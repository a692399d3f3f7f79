"""Networks: the streaming contract and one file per network family. torch only: no audio, no files."""
