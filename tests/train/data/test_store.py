"""The cache of decoded songs: made once, noticed when it is not whole, never half-written under its final name."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtsep.train.data.decode import Decoder, StemFile
from rtsep.train.data.stem_plan import plan_stems
from rtsep.train.data.store import INT16_PER_UNIT, STALE_S, CacheError, Manifest, Store, StoredAudio
from tests.train.sounds import TWO, noise, tone, write_song

REPOSITORY = Path(__file__).parent.parent.parent


class Songs:
    """One song of two files, and how often it was decoded."""

    def __init__(self, folder: Path) -> None:
        self.sounds = {"vocals": tone(440, 30_011), "drums": noise(2, 20_011)}
        write_song(folder / "song", **self.sounds)
        self.files = {part: StemFile(folder / "song" / f"{part}.wav") for part in self.sounds}
        self.cache = folder / "cache"
        self.decoded = 0

    def fetch(self) -> tuple[Manifest, StoredAudio]:
        songs = self

        class Counting(Decoder):
            def blocks(self):
                songs.decoded += 1
                return super().blocks()

        decoder = Counting(self.files, plan_stems(self.files, TWO))
        return Store(self.cache).fetch("a/b é", [part.identity() for part in self.files.values()], TWO, decoder)

    def file(self, suffix: str) -> Path:
        (path,) = self.cache.glob(f"*{suffix}")
        return path


@pytest.fixture
def songs(tmp_path: Path) -> Songs:
    return Songs(tmp_path)


def test_what_is_read_back_is_what_was_decoded(songs: Songs) -> None:
    manifest, audio = songs.fetch()
    assert audio.shape == (2, 2, 30_011) and manifest.stems == TWO
    np.testing.assert_allclose(audio[:, :, :] / INT16_PER_UNIT, np.stack(
        [songs.sounds["vocals"], np.pad(songs.sounds["drums"], ((0, 0), (0, 10_000)))]
    ), atol=0.51 / INT16_PER_UNIT)  # fmt: skip
    np.testing.assert_array_equal(audio[1:, :, 5000:5007], audio[:, :, :][1:, :, 5000:5007])
    assert audio[:, :, 30_000:40_000].shape == (2, 2, 11)
    assert audio[:, :, 40_000:40_001].shape == (2, 2, 0)
    mixture = songs.sounds["vocals"].copy()
    mixture[:, :20_011] += songs.sounds["drums"]
    assert manifest.rms == pytest.approx(np.sqrt(np.mean(np.square(mixture))), rel=1e-4)
    assert manifest.peak == pytest.approx(0.1, rel=0.2)  # a sine of 0.2 under a Hann window, with some noise


def test_a_song_is_decoded_once_and_again_when_its_files_change(songs: Songs) -> None:
    songs.fetch()
    songs.fetch()
    assert songs.decoded == 1
    write_song(songs.files["drums"].path.parent, drums=noise(3, 20_011))
    songs.fetch()
    assert songs.decoded == 2


def test_whatever_is_not_whole_is_made_anew(songs: Songs) -> None:
    whole = songs.fetch()[1][:, :, :]

    def cut() -> None:
        with songs.file(".pcm").open("r+b") as file:
            file.truncate(1000)

    def change() -> None:
        with songs.file(".pcm").open("r+b") as file:
            file.seek(1234)
            file.write(b"\x01\x02\x03\x04")

    damages = [
        cut,
        change,
        lambda: songs.file(".pcm").unlink(),
        lambda: songs.file(".json").unlink(),
        lambda: songs.file(".json").write_bytes(b""),
        lambda: songs.file(".json").write_bytes(b'{"stems": 3}'),
        lambda: songs.file(".json").write_bytes(b"\xff\xfe"),
    ]
    for count, damage in enumerate(damages, start=2):
        damage()
        np.testing.assert_array_equal(songs.fetch()[1][:, :, :], whole)
        assert songs.decoded == count
    assert len(list(songs.cache.iterdir())) == 2


def test_a_cache_that_was_copied_is_not_decoded_again(songs: Songs) -> None:
    songs.fetch()
    copied = songs.cache.with_name("copied")
    shutil.copytree(songs.cache, copied, copy_function=shutil.copyfile)
    for path in copied.iterdir():
        os.utime(path, (1e9, 1e9))
    songs.cache = copied
    songs.fetch()
    assert songs.decoded == 1


def test_what_a_killed_run_left_goes_and_what_another_writes_stays(songs: Songs) -> None:
    songs.cache.mkdir()
    stale, fresh = songs.cache / ".a.pcm.1234.part", songs.cache / ".b.pcm.5678.part"
    stale.touch()
    fresh.touch()
    long_ago = time.time() - STALE_S - 60
    os.utime(stale, (long_ago, long_ago))
    songs.fetch()
    assert fresh.exists() and not stale.exists()


def test_a_song_that_cannot_be_decoded_leaves_nothing(songs: Songs) -> None:
    drums = songs.files["drums"].path
    drums.write_bytes(drums.read_bytes()[:50_000])
    with pytest.raises(Exception, match="header states"):
        songs.fetch()
    assert list(songs.cache.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_song(tmp_path / "song", vocals=tone(440, 90_000), drums=noise(2, 90_000))
    program = (
        "import resource, signal\n"
        "from pathlib import Path\n"
        "from rtsep.errors import RtsepError\n"
        "from rtsep.train.data.songs import load_songs\n"
        "from rtsep.train_settings import DataSource\n"
        "from tests.train.sounds import make_recipe\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"root = Path({str(tmp_path)!r})\n"
        "try: load_songs(make_recipe(DataSource(folder='.', layout='stems')), [root], root / 'cache', False)\n"
        "except RtsepError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=False
    )
    path = re.escape(str(tmp_path / "cache" / "song-"))
    told = rf"no space left to write {path}\w+\.pcm: the file system, or ulimit -f, allows no larger file\n"
    assert re.fullmatch(told, done.stdout), done.stderr
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_shrinks_while_it_is_used_is_one_line(songs: Songs) -> None:
    audio = songs.fetch()[1]
    os.truncate(audio.path, 8000)
    with pytest.raises(CacheError, match="has become shorter"):
        audio[:, :, 900:1100]
    audio.path.unlink()
    with pytest.raises(CacheError, match="cannot read"):
        audio[:, :, :10]


def test_no_file_stays_open(songs: Songs) -> None:
    audio = songs.fetch()[1]
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("needs /proc")
    before = len(list(open_files.iterdir()))
    pieces = [audio[:, :, at : at + 100] for at in range(0, 30_000, 100)]
    assert len(pieces) == 300 and len(list(open_files.iterdir())) == before


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"cannot write .*file"):
        Store(tmp_path / "file")
