"""Which files of a folder are taken for audio."""

AUDIO_SUFFIXES = frozenset(
    ".aac .aif .aifc .aiff .ape .au .caf .flac .m4a .m4b .mka .mp2 .mp3 .oga .ogg .opus .rf64 .w64 .wav .webm .wma .wv"
    .split()
)  # fmt: skip
"""In lower case. Files that a user names may have any suffix."""
