"""From raw stems to finished files: tone, room, balance, one limiter for all, and 16-bit FLAC."""

from pathlib import Path

import numpy as np
import score
import soundfile
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, fftconvolve, sosfilt

RATE_HZ = score.SAMPLE_RATE_HZ
STEMS = ("vocals", "drums", "bass", "other")
# Level of each stem where all of them play (verse and first chorus), before the limiter.
LEVEL_DB = {"vocals": -22.0, "drums": -24.0, "bass": -23.5, "other": -24.0}
PEAK_DB = -1.0
STEP = 2  # the last of the 16 bits stays 0: its noise at -92 dB is inaudible and would add 2 MB of FLAC
ENVELOPE_BLOCK = 64  # samples; the level is measured in steps of 1.5 ms


def gain(level_db: float | np.ndarray) -> float | np.ndarray:
    return 10 ** (level_db / 20)


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def high_pass(sound: np.ndarray, cut_hz: float) -> np.ndarray:
    return sosfilt(butter(2, cut_hz, "high", fs=RATE_HZ, output="sos"), sound, axis=0)


def compress(sound: np.ndarray, threshold_db: float, ratio: float, attack_s: float, release_s: float) -> np.ndarray:
    """Both channels turned down together where they are louder than the threshold."""
    blocks = -(-len(sound) // ENVELOPE_BLOCK)
    padded = np.zeros((blocks * ENVELOPE_BLOCK, 2))
    padded[: len(sound)] = sound
    power = (padded**2).reshape(blocks, -1).mean(axis=1)
    rise, fall = (1 - np.exp(-ENVELOPE_BLOCK / (RATE_HZ * time_s)) for time_s in (attack_s, release_s))
    followed, level = np.empty(blocks), 0.0
    for i, now in enumerate(power):
        level += (rise if now > level else fall) * (now - level)
        followed[i] = level
    over_db = np.maximum(0.0, 10 * np.log10(followed + 1e-12) - threshold_db)
    centres = (np.arange(blocks) + 0.5) * ENVELOPE_BLOCK
    change_db = np.interp(np.arange(len(sound)), centres, -over_db * (1 - 1 / ratio))
    return sound * gain(change_db)[:, None]


def add_room(sound: np.ndarray, wet_db: float, decay_s: float, before_s: float, seed: int) -> np.ndarray:
    """A small room: dark noise, different left and right, that dies away by 60 dB in `decay_s`."""
    samples = round(decay_s * RATE_HZ)
    noise = np.random.default_rng(seed).standard_normal((samples, 2))
    noise *= 10 ** (-3 * np.linspace(0, 1, samples))[:, None]
    response = sosfilt(butter(1, (250, 5000), "bandpass", fs=RATE_HZ, output="sos"), noise, axis=0)
    response /= np.sqrt((response**2).sum(axis=0))
    response = np.concatenate([np.zeros((round(before_s * RATE_HZ), 2)), response])
    # The room hears both channels, so that a sound at one side comes back from the other too.
    crossed = 0.7 * sound + 0.3 * sound[:, ::-1]
    return sound + gain(wet_db) * fftconvolve(crossed, response, axes=0)[: len(sound)]


def limited(stems: dict[str, np.ndarray], peak: float) -> dict[str, np.ndarray]:
    """All stems turned down alike where one of them or their sum would pass `peak`."""
    ahead = round(0.004 * RATE_HZ)
    level = np.max([np.abs(sound).max(axis=1) for sound in (sum(stems.values()), *stems.values())], axis=0)
    allowed = np.minimum(1.0, peak / np.maximum(level, 1e-9))
    # The mean of minima over the same width never exceeds the value in its middle.
    curve = uniform_filter1d(minimum_filter1d(allowed, 2 * ahead + 1), 2 * ahead + 1)
    return {name: sound * curve[:, None] for name, sound in stems.items()}


def shape(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    voice = compress(high_pass(raw["vocals"], 110), -22, 3, 0.004, 0.09)
    mono_bass = np.repeat(high_pass(raw["bass"], 32).mean(axis=1, keepdims=True), 2, axis=1)
    return {
        "vocals": add_room(voice, -15, 0.9, 0.022, seed=21),
        "drums": add_room(compress(raw["drums"], -26, 2.5, 0.012, 0.12), -17, 0.35, 0.004, seed=22),
        "bass": compress(mono_bass, -28, 3, 0.015, 0.15),
        "other": add_room(high_pass(raw["other"], 90), -17, 0.6, 0.01, seed=23),
    }


def mix(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Finished stems as integers."""
    played = [section for section in score.FORM if section.words]
    part = slice(round(played[0].start_s * RATE_HZ), round(played[1].end_s * RATE_HZ))
    stems = {}
    for name, sound in shape(raw).items():
        stems[name] = sound * gain(LEVEL_DB[name]) / rms(sound[part])
    samples = len(stems["vocals"])
    fade = np.clip((samples - np.arange(samples)) / (1.2 * RATE_HZ), 0, 1) ** 2
    stems = limited({name: sound * fade[:, None] for name, sound in stems.items()}, gain(PEAK_DB))
    return {name: STEP * np.round(stems[name] * 32767 / STEP).astype(np.int32) for name in STEMS}


def write(stems: dict[str, np.ndarray], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, sound in {"mixture": sum(stems.values()), **stems}.items():
        if np.abs(sound).max() > 32767:
            raise SystemExit(f"{name} clips: lower PEAK_DB")
        path = folder / f"{name}.flac"
        soundfile.write(path, sound.astype(np.int16), RATE_HZ, subtype="PCM_16", compression_level=1.0)
