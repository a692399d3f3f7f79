"""Files side by side into stems, in blocks of any size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from rtsep.errors import RtsepError
from rtsep.train.data import decode
from rtsep.train.data.decode import Decoder, StemFile, delay_samples
from rtsep.train.data.layouts import STEM_MP4_STREAMS
from rtsep.train.data.stem_plan import UnusableSong, plan_stems
from tests.train.sounds import FOUR, TWO, noise, spectrum, tone, write, write_stem_mp4


def decoded(files: dict[str, StemFile], stems: tuple[str, ...] = TWO) -> np.ndarray:
    return np.concatenate(list(Decoder(files, plan_stems(files, stems)).blocks()), axis=2)


@pytest.mark.parametrize("block", [777, 10_007, 10**6])
def test_stems_are_sums_and_short_files_end_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(decode, "BLOCK_SAMPLES", block)
    vocals, drums, bass = noise(1, 20_011), noise(2, 30_011), noise(3, 4_001)
    sounds = {"vocals": vocals, "drums": drums, "bass": bass}
    stems = decoded({part: StemFile(write(tmp_path / f"{part}.wav", sound)) for part, sound in sounds.items()})
    assert stems.shape == (2, 2, 30_011) and stems.dtype == np.float32
    drums[:, :4001] += bass
    np.testing.assert_allclose(stems[1], drums, atol=1e-6)
    np.testing.assert_array_equal(stems[0, :, :20_011], vocals)
    assert not stems[0, :, 20_011:].any()


@pytest.mark.parametrize("delay", [0, 1, -1, 4321, -40_009])
def test_vocals_are_what_the_instrumental_lacks_wherever_it_begins(tmp_path: Path, delay: int) -> None:
    vocals, rest = tone(440, 90_000), noise(2, 90_000)
    late = np.pad(rest, ((0, 0), (max(delay, 0), 0)))[:, max(-delay, 0) :]
    files = {
        "mixture": StemFile(write(tmp_path / "mixture.wav", vocals + rest)),
        "instrumental": StemFile(write(tmp_path / "instrumental.wav", late)),
    }
    assert delay_samples(vocals + rest, late) == delay
    found = decoded(files)
    first = max(-delay, 0)  # what came before the instrumental began is left out
    np.testing.assert_allclose(found[0, :, : 90_000 - first], vocals[:, first:], atol=1e-6)


def test_what_has_nothing_in_common_is_taken_as_it_lies() -> None:
    silence = np.zeros((2, 30_011), np.float32)
    assert delay_samples(silence, noise(1)) == delay_samples(noise(1), silence) == delay_samples(silence, silence) == 0
    assert delay_samples(noise(1), noise(2)) == 0


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = {
        "mixture": StemFile(write(tmp_path / "mixture.wav", noise(1))),
        "instrumental": StemFile(write(tmp_path / "instrumental.wav", noise(2))),
    }
    with pytest.raises(UnusableSong, match="do not belong together"):
        decoded(files)


def test_an_empty_pair_is_no_sound(tmp_path: Path) -> None:
    files = {part: StemFile(write(tmp_path / f"{part}.wav", noise(1, 0))) for part in ("mixture", "instrumental")}
    assert list(Decoder(files, plan_stems(files, TWO)).blocks()) == []


def test_the_streams_of_a_stem_file(tmp_path: Path) -> None:
    hertz = dict(zip(STEM_MP4_STREAMS, (100, 300, 700, 1500, 3100), strict=True))
    write_stem_mp4(tmp_path / "a.stem.mp4", [tone(hz, 50_000) for hz in hertz.values()])
    files = {part: StemFile(tmp_path / "a.stem.mp4", stream) for stream, part in enumerate(STEM_MP4_STREAMS)}
    stems = decoded(files, FOUR)
    for stem, sound in zip(FOUR, stems, strict=True):
        wanted = tone(hertz[stem], 50_000)[:, 5000:45_000]
        assert np.abs(sound[:, 5000:45_000] - wanted).max() < 0.02, stem
    with pytest.raises(RtsepError, match="has 5 audio streams"):
        decoded(files | {"vocals": StemFile(tmp_path / "a.stem.mp4", 5)})
    with pytest.raises(RtsepError, match="has 1 audio stream"):
        decoded({"vocals": StemFile(write(tmp_path / "a.wav", noise(1)), 1), "drums": files["drums"]})


def test_crops_of_spectra_are_subtracted_as_they_are(tmp_path: Path) -> None:
    vocals, rest = tone(440, 20 * 1024), noise(2, 20 * 1024)
    np.savez(tmp_path / "a.npz", X=spectrum(vocals + rest), Y=spectrum(rest), c=55.0)
    files = {
        "mixture": StemFile(tmp_path / "a.npz", array="X"),
        "instrumental": StemFile(tmp_path / "a.npz", array="Y"),
    }
    decoder = Decoder(files, plan_stems(files, TWO))
    found = np.concatenate(list(decoder.blocks()), axis=2)
    np.testing.assert_allclose(found, np.stack([vocals, rest]), atol=1e-6)
    assert decoder.peak == pytest.approx(55 / 1024)


def test_damage_is_an_error_and_not_a_shorter_stem(tmp_path: Path) -> None:
    whole = write(tmp_path / "vocals.wav", noise(1))
    cut = tmp_path / "drums.wav"
    cut.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(RtsepError, match=r"drums\.wav: its header states"):
        decoded({"vocals": StemFile(whole), "drums": StemFile(cut)})


def test_a_long_song_is_never_whole_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK_SAMPLES", 44100)
    sound = np.tile(noise(1, 44100), 60)
    files = {part: StemFile(write(tmp_path / f"{part}.wav", sound)) for part in ("vocals", "drums", "bass")}
    whole_bytes = 2 * sound.nbytes  # two stems
    del sound
    decoder = Decoder(files, plan_stems(files, TWO))
    tracemalloc.start()
    try:
        assert sum(block.shape[2] for block in decoder.blocks()) == 60 * 44100
        assert tracemalloc.get_traced_memory()[1] < whole_bytes / 5
    finally:
        tracemalloc.stop()
