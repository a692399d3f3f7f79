"""How fast and in which key a song can be played. Imports nothing heavy: the command line and the key table use it."""

from rtsep.errors import ArgumentError

MIN_SPEED, MAX_SPEED = 0.25, 2.0
MAX_KEY = 12.0
"""Semitones up or down."""
LARGEST_SPEED_STEP = 0.5
MIN_TEMPO_BPM, MAX_TEMPO_BPM = 20.0, 400.0
LARGEST_LYRICS_OFFSET_S = 60.0


def check_speed(speed: float) -> float:
    """`speed` if a song can be played that fast; ArgumentError otherwise."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise ArgumentError("speed", speed, f"{MIN_SPEED:g} to {MAX_SPEED:g}; 1 is the song's own")
    return speed


def check_speed_step(step: float) -> float:
    """`step` if a loop can get faster by it each time round; ArgumentError otherwise."""
    if not 0.0 <= step <= LARGEST_SPEED_STEP:
        raise ArgumentError("loop_speed_up", step, f"0 to {LARGEST_SPEED_STEP:g}; 0.05 is 5 % of the song's speed")
    return step


def check_tempo(tempo_bpm: float) -> float:
    """`tempo_bpm` if a song can have it; ArgumentError otherwise."""
    if not MIN_TEMPO_BPM <= tempo_bpm <= MAX_TEMPO_BPM:
        raise ArgumentError("tempo", round(tempo_bpm), f"{MIN_TEMPO_BPM:g} to {MAX_TEMPO_BPM:g} beats a minute")
    return tempo_bpm


def check_key(key: float) -> float:
    """`key` if a song can be played in it; ArgumentError otherwise."""
    if not abs(key) <= MAX_KEY:
        raise ArgumentError("key", key, f"{-MAX_KEY:g} to {MAX_KEY:g} semitones; 0.5 is 50 cents")
    return key


def check_lyrics_offset(offset_s: float) -> float:
    """`offset_s` if lyrics can be shifted by it; ArgumentError otherwise."""
    if not abs(offset_s) <= LARGEST_LYRICS_OFFSET_S:
        raise ArgumentError("lyrics_offset", offset_s, f"at most {LARGEST_LYRICS_OFFSET_S:g} s later or earlier")
    return offset_s
