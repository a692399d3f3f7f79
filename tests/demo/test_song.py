"""The bundled demo song: its files fit together, and the voice is where the song sheet says."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[2] / "demo" / "paper-boats"
STEMS = ("vocals", "drums", "bass", "other")
NAMES = ("mixture", *STEMS)
RATE_HZ = 44_100
FULL_SCALE = 32_768
# Seconds. A breath comes before each sung part, and the reverb of the chorus dies into the break.
NO_VOICE_S = {"intro": (0.0, 4.0), "break": (23.5, 26.5)}
SUNG_S = {
    "verse": (4.6, 13.5),
    "chorus": (13.6, 22.5),
    "last chorus": (27.2, 36.2),
    "last word": (36.3, 37.8),
}
LOUDEST_WITHOUT_VOICE_DB = -66.0


def level_db(sound: np.ndarray) -> float:
    rms = np.sqrt(np.mean((sound / FULL_SCALE) ** 2))
    return float(20 * np.log10(max(rms, 1e-9)))


def part(sound: np.ndarray, times_s: tuple[float, float]) -> np.ndarray:
    start, end = (round(time_s * RATE_HZ) for time_s in times_s)
    return sound[start:end]


@pytest.fixture(scope="module")
def song() -> dict[str, np.ndarray]:
    sounds = {}
    for name in NAMES:
        samples, _ = soundfile.read(FOLDER / f"{name}.flac", dtype="int16", always_2d=True)
        sounds[name] = samples.astype(np.int64)
    return sounds


@pytest.mark.parametrize("name", NAMES)
def test_format(name: str) -> None:
    info = soundfile.info(FOLDER / f"{name}.flac")
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")
    assert (info.samplerate, info.channels) == (RATE_HZ, 2)
    assert 35.0 <= info.duration <= 45.0


def test_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 13_000_000


def test_stems_add_up_to_the_mixture(song: dict[str, np.ndarray]) -> None:
    assert len({song[name].shape for name in NAMES}) == 1
    np.testing.assert_array_equal(sum(song[name] for name in STEMS), song["mixture"])


@pytest.mark.parametrize("name", NAMES)
def test_peak_leaves_headroom(song: dict[str, np.ndarray], name: str) -> None:
    peak = np.abs(song[name]).max()
    assert peak < FULL_SCALE * 10 ** (-0.9 / 20)
    assert peak > FULL_SCALE * 10 ** (-15 / 20), "almost silent"


@pytest.mark.parametrize("where", NO_VOICE_S)
def test_nobody_sings(song: dict[str, np.ndarray], where: str) -> None:
    times_s = NO_VOICE_S[where]
    assert times_s[1] - times_s[0] >= 2.0
    assert level_db(part(song["vocals"], times_s)) < LOUDEST_WITHOUT_VOICE_DB
    assert level_db(part(song["mixture"], times_s)) > -30.0, "the band plays on"


@pytest.mark.parametrize("where", SUNG_S)
def test_voice_sits_in_the_mix(song: dict[str, np.ndarray], where: str) -> None:
    voice = part(song["vocals"], SUNG_S[where])
    band = part(song["mixture"], SUNG_S[where]) - voice
    assert -6.0 <= level_db(voice) - level_db(band) <= 1.0


@pytest.mark.parametrize("where", SUNG_S)
def test_no_hole_in_the_singing(song: dict[str, np.ndarray], where: str) -> None:
    voice = part(song["vocals"], SUNG_S[where])
    half_seconds = [voice[i : i + RATE_HZ // 2] for i in range(0, len(voice) - RATE_HZ // 2, RATE_HZ // 2)]
    assert min(level_db(piece) for piece in half_seconds) > -36.0


@pytest.mark.parametrize("name", ["mixture", "drums"])
def test_sound_above_the_masked_band(song: dict[str, np.ndarray], name: str) -> None:
    """Cymbals reach above 11 025 Hz, where the network does not look: separation must be tried there too."""
    spectrum = np.abs(np.fft.rfft(song[name].sum(axis=1) / FULL_SCALE)) ** 2
    hz = np.fft.rfftfreq(len(song[name]), 1 / RATE_HZ)
    share_db = 10 * np.log10(spectrum[hz > 11_025].sum() / spectrum.sum())
    assert share_db > -32.0


def test_song_sheet_tells_title_and_licence() -> None:
    text = (FOLDER / "SONG.md").read_text(encoding="utf-8")
    for needed in ("# Paper Boats", "CC0 1.0", "FluidR3", "espeak-ng", "Morning paints the window blue"):
        assert needed in text
