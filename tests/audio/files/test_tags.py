"""Tags and pictures come from a song to its stems field by field, in every pair of formats; loudness does not."""

from __future__ import annotations

import io
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TIT2, TRCK, TXXX
from mutagen.mp4 import MP4
from mutagen.oggvorbis import OggVorbis

from rtsep.audio.files.encode import Encoding, encode
from rtsep.audio.files.tags import Picture, Tags, id3_chunk, read_tags, write_tags
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError

SOUND = np.zeros((2, 4800), np.float32)
FORMATS = ["wav", "flac", "mp3", "ogg", "opus", "m4a"]
TAGS = Tags(
    {
        "title": ("Ünïcødé 日本",),
        "artist": ("AC/DC", "Another"),
        "album": ("Album",),
        "albumartist": ("Various",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "discnumber": ("1",),
        "date": ("1999",),
        "genre": ("Rock",),
        "comment": ("two\nlines",),
        "lyrics": ("la la",),
        "bpm": ("120",),
        "isrc": ("DEA000000001",),
        "musicbrainz_trackid": ("0000-1111",),
    },
    (Picture(b"\x89PNG" + bytes(range(256)) * 300, "image/png", 3, ""),),
)


def write(path: Path, tags: Tags) -> Path:
    form = path.suffix[1:]
    if form == "m4a":
        pytest.importorskip("av")
    if form == "wav":
        with AtomicWav(path, 48000, 2) as wav:
            wav.write(SOUND)
            wav.rest = id3_chunk(tags)
            wav.commit()
        return path
    with path.open("w+b") as file:
        encode([SOUND], file, Encoding(form), 48000, 2)
        write_tags(file, form, tags)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_tags_are_read_as_they_were_written(tmp_path: Path, form: str) -> None:
    tags = read_tags(write(tmp_path / f"a.{form}", TAGS))
    assert dict(tags.fields) == dict(TAGS.fields)
    assert [picture.data for picture in tags.pictures] == [picture.data for picture in TAGS.pictures]
    assert tags.pictures[0].mime == "image/png"
    assert not read_tags(write(tmp_path / f"b.{form}", Tags()))


@pytest.mark.parametrize("form", ["flac", "mp3", "ogg", "m4a"])
def test_other_readers_find_the_fields_where_they_look(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / f"a.{form}", TAGS)
    easy = mutagen.File(path, easy=True)
    for name in ("title", "artist", "album", "albumartist", "date", "genre"):
        assert tuple(easy[name]) == TAGS.fields[name]
    number = "3" if form in ("flac", "ogg") else "3/12"
    assert easy["tracknumber"] == [number]


@pytest.mark.parametrize("form", FORMATS)
def test_loudness_and_encoder_are_left_out(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / f"a.{form}", Tags({"title": ("a",)}))
    file = mutagen.File(path)
    for name in ("REPLAYGAIN_TRACK_GAIN", "R128_TRACK_GAIN", "MP3GAIN_UNDO", "iTunNORM", "ENCODER", "kept"):
        if isinstance(file.tags, ID3):
            file.tags.add(TXXX(encoding=3, desc=name, text=["-6 dB"]))
        else:
            key = f"----:com.apple.iTunes:{name}" if isinstance(file, MP4) else name
            file[key] = [b"-6 dB"] if isinstance(file, MP4) else ["-6 dB"]
    file.save()
    assert dict(read_tags(path).fields) == {"title": ("a",), "kept": ("-6 dB",)}


def test_damaged_tags_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", TAGS)
    content = bytearray(path.read_bytes())
    at = content.index(b"TITLE=") - 4
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
    with pytest.raises(RtsepError, match=r"a\.flac: its tags cannot be read"):
        read_tags(path)
    (tmp_path / "empty.mp3").touch()
    assert not read_tags(tmp_path / "empty.mp3")


def test_numbers_that_are_none_do_not_stop_a_song(tmp_path: Path) -> None:
    pytest.importorskip("av")
    odd = Tags({"tracknumber": ("A3",), "bpm": ("fast",), "discnumber": ("99999999",), "compilation": ("0",)})
    assert read_tags(write(tmp_path / "a.m4a", odd)).fields["bpm"] == ("0",)


@pytest.mark.parametrize("form", FORMATS)
def test_fields_that_a_format_cannot_have_do_not_stop_a_song(tmp_path: Path, form: str) -> None:
    odd = Tags({"artist": ("A",), "ключ": ("1",), "a=b": ("2",), "": ("3",)}).titled("caf\udce9")
    fields = read_tags(write(tmp_path / f"a.{form}", odd)).fields
    assert fields["artist"] == ("A",)
    assert fields["title"] == ("caf?",)


def test_a_picture_too_large_for_flac_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="its tags do not fit the format"):
        write(tmp_path / "a.flac", Tags({}, (Picture(bytes(1 << 24), "image/png"),)))


def test_two_pictures_without_names_are_both_kept(tmp_path: Path) -> None:
    tags = Tags({"title": ("a",)}, (Picture(b"1", "image/png"), Picture(b"2", "image/jpeg", 4)))
    for form in ("mp3", "flac", "ogg"):
        found = read_tags(write(tmp_path / f"a.{form}", tags)).pictures
        assert [(picture.data, picture.mime, picture.kind) for picture in found] == [
            (b"1", "image/png", 3),
            (b"2", "image/jpeg", 4),
        ]


def test_id3_of_other_programs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", Tags())
    tags = ID3()
    tags.add(TIT2(encoding=1, text="Title"))
    tags.add(TRCK(encoding=0, text="7"))
    tags.save(path, v2_version=3)
    assert dict(read_tags(path).fields) == {"title": ("Title",), "tracknumber": ("7",)}


def test_wav_with_tags_is_read_by_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", TAGS)
    assert mutagen.File(path).tags["TPE1"].text == ["AC/DC", "Another"]
    assert isinstance(FLAC(write(tmp_path / "a.flac", TAGS)).pictures[0].data, bytes)
    assert OggVorbis(io.BytesIO(write(tmp_path / "a.ogg", TAGS).read_bytes()))["album"] == ["Album"]
