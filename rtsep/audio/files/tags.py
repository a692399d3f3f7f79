"""Tags and cover art, from a song to its stems, by mutagen: ID3 (MP3, WAV), Vorbis comments (FLAC, Ogg), MP4.

Fields are named as in Vorbis comments, in lower case. What states how loud the song is (ReplayGain, R128, mp3gain) or
which program encoded it does not hold for its stems, and is left out. So is a field whose name a format cannot have:
Vorbis comments and MP4 have ASCII names.
"""

from __future__ import annotations

import base64
import errno
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from rtsep.errors import RtsepError

_ID3 = {
    **{"title": "TIT2", "artist": "TPE1", "album": "TALB", "albumartist": "TPE2", "composer": "TCOM", "genre": "TCON"},
    **{"date": "TDRC", "originaldate": "TDOR", "copyright": "TCOP", "isrc": "TSRC", "bpm": "TBPM", "mood": "TMOO"},
    **{"initialkey": "TKEY", "language": "TLAN", "organization": "TPUB", "conductor": "TPE3", "remixer": "TPE4"},
    **{"lyricist": "TEXT", "grouping": "TIT1", "subtitle": "TIT3", "media": "TMED", "compilation": "TCMP"},
    **{"titlesort": "TSOT", "artistsort": "TSOP", "albumsort": "TSOA", "albumartistsort": "TSO2"},
    **{"composersort": "TSOC", "tracknumber": "TRCK", "discnumber": "TPOS"},
}
_MP4 = {
    **{"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "albumartist": "aART", "composer": "\xa9wrt"},
    **{"genre": "\xa9gen", "date": "\xa9day", "copyright": "cprt", "comment": "\xa9cmt", "lyrics": "\xa9lyr"},
    **{"grouping": "\xa9grp", "titlesort": "sonm", "artistsort": "soar", "albumsort": "soal"},
    **{"albumartistsort": "soaa", "composersort": "soco", "bpm": "tmpo", "compilation": "cpil"},
    **{"tracknumber": "trkn", "discnumber": "disk"},
}
_TOTALS = {"tracknumber": "tracktotal", "discnumber": "disctotal"}
_MP4_FREEFORM = "----:com.apple.iTunes:"
_DROPPED = re.compile(
    r"replaygain_.*|r128_.*|mp3gain_.*|itunnorm|itunsmpb|encoder|encoder_options|metadata_block_picture|coverart.*"
)
_MIMES = {13: "image/jpeg", 14: "image/png"}  # by the number of an MP4 cover's format
_FRONT_COVER = 3


@dataclass(frozen=True)
class Picture:
    """An image; `kind` as ID3 counts them, 3 for the front cover."""

    data: bytes
    mime: str
    kind: int = _FRONT_COVER
    description: str = ""


@dataclass(frozen=True)
class Tags:
    """Field -> values, and pictures."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fields or self.pictures)

    def first(self, name: str) -> str:
        """The first value of a field; empty without one."""
        return next(iter(self.fields.get(name, ())), "")

    def titled(self, title: str) -> Tags:
        """The same tags with another title; bytes of a file name that are not text become question marks in it."""
        return replace(self, fields={**self.fields, "title": (title.encode(errors="replace").decode(),)})


def read_tags(path: Path) -> Tags:
    """The tags of a file; none for a format without. Raises RtsepError if they cannot be read."""
    import mutagen
    from mutagen._vorbis import VComment
    from mutagen.id3 import ID3, ID3FileType
    from mutagen.mp3 import HeaderNotFoundError
    from mutagen.mp4 import MP4Tags

    if not os.path.isfile(path):  # opening a named pipe would wait for a writer
        return Tags()
    try:
        try:
            file = mutagen.File(path)
        except HeaderNotFoundError:  # MPEG sound behind other data
            file = ID3FileType(path)
        tags = None if file is None else file.tags
        if isinstance(tags, ID3):
            return _from_id3(tags)
        if isinstance(tags, MP4Tags):
            return _from_mp4(tags)
        if isinstance(tags, VComment):
            return _from_vorbis(tags, getattr(file, "pictures", []))
    except Exception as error:  # of the many that damaged tags cause in mutagen
        raise RtsepError(f"{path}: its tags cannot be read ({type(error).__name__})") from error
    return Tags()


def write_tags(file: BinaryIO, format: str, tags: Tags) -> None:
    """Write tags into a finished file that has none: flac, mp3, ogg, opus, m4a or stem.mp4.

    Raises OSError if the disk refuses, or the tags do not fit the format.
    """
    from mutagen import MutagenError

    try:
        _write_tags(file, format, tags)
    except MutagenError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        raise cause or OSError(errno.EINVAL, f"its tags do not fit the format ({error})") from error


def _write_tags(file: BinaryIO, format: str, tags: Tags) -> None:
    from mutagen._vorbis import is_valid_key
    from mutagen.flac import FLAC
    from mutagen.mp4 import MP4
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis

    file.seek(0)
    if format == "mp3":
        _to_id3(tags).save(file)
        return
    if format in ("m4a", "stem.mp4"):
        sound: Any = MP4(file)
        _to_mp4(tags, sound)
    else:
        sound = {"flac": FLAC, "ogg": OggVorbis, "opus": OggOpus}[format](file)
        for name, values in tags.fields.items():
            if is_valid_key(name):
                sound[name.upper()] = list(values)
        for picture in map(_flac_picture, tags.pictures):
            if format == "flac":
                sound.add_picture(picture)
            else:
                known = sound.get("METADATA_BLOCK_PICTURE", [])
                sound["METADATA_BLOCK_PICTURE"] = [*known, base64.b64encode(picture.write()).decode()]
    file.seek(0)
    sound.save(file)


def id3_chunk(tags: Tags) -> bytes:
    """The chunk of a WAV file that holds tags."""
    file = io.BytesIO()
    _to_id3(tags).save(file, padding=lambda info: 0)
    content = file.getvalue()
    return b"id3 " + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _kept(fields: Iterable[tuple[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    """Fields without those that are dropped and without empty values; "3/12" is a number and a total."""
    kept: dict[str, tuple[str, ...]] = {}
    for name, values in fields:
        name = name.lower()
        texts = tuple(text for text in map(str, values) if text)
        if not texts or _DROPPED.fullmatch(name):
            continue
        if name in _TOTALS and "/" in texts[0]:
            number, _, total = texts[0].partition("/")
            kept |= {key: (text,) for key, text in ((name, number), (_TOTALS[name], total)) if text}
        else:
            kept[name] = kept.get(name, ()) + texts
    return kept


def _from_vorbis(tags: Any, pictures: Iterable[Any]) -> Tags:
    from mutagen.flac import Picture as FlacPicture

    found = list(pictures)
    found += [FlacPicture(base64.b64decode(text)) for text in tags.get("metadata_block_picture", [])]
    names = dict.fromkeys(name.lower() for name, _ in tags)
    return Tags(
        _kept((name, tags[name]) for name in names),
        tuple(Picture(picture.data, picture.mime, int(picture.type), picture.desc) for picture in found),
    )


def _flac_picture(picture: Picture) -> Any:
    from mutagen.flac import Picture as FlacPicture

    made = FlacPicture()
    made.data, made.mime, made.type, made.desc = picture.data, picture.mime, picture.kind, picture.description
    return made


def _from_id3(tags: Any) -> Tags:
    names = {frame: name for name, frame in _ID3.items()}
    fields: list[tuple[str, Iterable[str]]] = []
    for frame in tags.values():
        if frame.FrameID in names:
            fields.append((names[frame.FrameID], frame.genres if frame.FrameID == "TCON" else frame.text))
        elif frame.FrameID == "TXXX":
            fields.append((frame.desc, frame.text))
        elif frame.FrameID == "COMM" and not frame.desc.lower().startswith("itun"):
            fields.append(("comment", frame.text))
        elif frame.FrameID == "USLT":
            fields.append(("lyrics", [frame.text]))
    pictures = (Picture(frame.data, frame.mime, int(frame.type), frame.desc) for frame in tags.getall("APIC"))
    return Tags(_kept(fields), tuple(pictures))


def _to_id3(tags: Tags) -> Any:
    from mutagen import id3

    made = id3.ID3()
    for name, values in tags.fields.items():
        texts = list(values)
        if name in _TOTALS and (total := tags.first(_TOTALS[name])):
            texts = [f"{values[0]}/{total}"]
        if name in _ID3:
            made.add(getattr(id3, _ID3[name])(encoding=3, text=texts))
        elif name == "comment":
            made.add(id3.COMM(encoding=3, lang="XXX", desc="", text=texts))
        elif name == "lyrics":
            made.add(id3.USLT(encoding=3, lang="XXX", desc="", text="\n".join(texts)))
        elif not (name in _TOTALS.values() and any(_TOTALS[key] == name for key in _TOTALS if key in tags.fields)):
            made.add(id3.TXXX(encoding=3, desc=name.upper(), text=texts))
    for number, picture in enumerate(tags.pictures):
        description = picture.description + " " * number  # ID3 keeps one of each description
        made.add(id3.APIC(encoding=3, mime=picture.mime, type=picture.kind, desc=description, data=picture.data))
    return made


def _from_mp4(tags: Any) -> Tags:
    names = {atom: name for name, atom in _MP4.items()}
    fields: list[tuple[str, Iterable[str]]] = []
    for atom, values in tags.items():
        name = names.get(atom)
        if name in _TOTALS:
            number, total = values[0]
            fields.append((name, [f"{number or ''}/{total or ''}"]))
        elif name == "compilation":
            fields.append((name, ["1"] if values else []))
        elif name is not None:
            fields.append((name, values))
        elif atom.startswith("----:"):
            texts = (bytes(value).decode(errors="replace") for value in values)
            fields.append((atom.rpartition(":")[2], texts))
    covers = tags.get("covr", [])
    pictures = (Picture(bytes(cover), _MIMES.get(int(cover.imageformat), "image/jpeg")) for cover in covers)
    return Tags(_kept(fields), tuple(pictures))


def _to_mp4(tags: Tags, made: Any) -> None:
    from mutagen.mp4 import MP4Cover

    def number(text: str) -> int:
        digits = re.match(r"\s*(\d{1,5})", text)
        return min(int(digits[1]), 65535) if digits else 0

    for name, values in tags.fields.items():
        if name in _TOTALS:
            made[_MP4[name]] = [(number(values[0]), number(tags.first(_TOTALS[name])))]
        elif name == "bpm":
            made["tmpo"] = [number(values[0])]
        elif name == "compilation":
            made["cpil"] = values[0] not in ("0", "")
        elif name in _MP4:
            made[_MP4[name]] = list(values)
        elif name not in _TOTALS.values() and name.isascii():
            made[_MP4_FREEFORM + name.upper()] = [text.encode() for text in values]
    numbers = {mime: number for number, mime in _MIMES.items()}
    covers = [MP4Cover(each.data, numbers[each.mime]) for each in tags.pictures if each.mime in numbers]
    if covers:
        made["covr"] = covers
