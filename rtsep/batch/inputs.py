"""The songs that somebody names: files, folders, patterns, playlists."""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from rtsep.audio.files.folders import list_folder, natural
from rtsep.audio.files.reader import open_audio
from rtsep.audio.files.suffixes import AUDIO_SUFFIXES
from rtsep.errors import MissingPackage, RtsepError
from rtsep.files import existing

PLAYLISTS = (".m3u", ".m3u8")
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass
class Inputs:
    """Songs in order, those that will fail too, and a line for everything that is left out."""

    songs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_inputs(named: Iterable[Path], out: Path) -> Inputs:
    """Find the songs. Those below `out` are left out unless they are named: they are stems of an earlier run.

    What cannot be read is among the songs, for whoever opens it to complain about; job files (.json) are, too.
    """
    inputs = Inputs()
    below = out.resolve()
    for path in named:
        if path.suffix.lower() in PLAYLISTS and os.path.isfile(path):
            for entry in _read_playlist(path, inputs.notes):
                _add(entry, inputs, below)
        elif glob.has_magic(str(path)) and not os.path.lexists(path):
            matches = sorted((Path(match) for match in glob.glob(str(path), recursive=True)), key=natural)
            if not matches:
                inputs.songs.append(path)
            for match in matches:
                if below not in match.resolve().parents:
                    _add(match, inputs, below)
        else:
            _add(path, inputs, below)
    return inputs


def _add(path: Path, inputs: Inputs, below: Path) -> None:
    """Add a file, or the audio files of a folder."""
    if not os.path.isdir(path):
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES or suffix == ".json" or not os.path.isfile(path) or _is_audio(path):
            inputs.songs.append(path)
        else:
            inputs.notes.append(f"{path} is not audio; skipped")
        return
    contents = list_folder(path)
    found = [song for song in contents.songs if below not in song.resolve().parents]
    inputs.songs += [*found, *contents.unreadable] or [path]
    if contents.others:
        what = "1 file that is not audio" if contents.others == 1 else f"{contents.others} files that are not audio"
        inputs.notes.append(f"{path}: skipped {what}")


def _is_audio(path: Path) -> bool:
    try:
        open_audio(path).close()
    except MissingPackage:
        return True
    except RtsepError:
        return False
    return True


def _read_playlist(playlist: Path, notes: list[str]) -> list[Path]:
    """The files that an M3U playlist names, relative to its folder; the playlist itself if it cannot be read."""
    try:
        content = playlist.read_bytes()
    except OSError:
        return [playlist]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", errors="replace").encode()
    entries: list[Path] = []
    for line in content.removeprefix(codecs.BOM_UTF8).splitlines():
        line = line.strip()
        if line.startswith(b"file://"):
            entries.append(Path(unquote(os.fsdecode(line[7:]))))
        elif _URL.match(line):
            notes.append(f"{playlist}: {os.fsdecode(line)} is not a file; skipped")
        elif line and not line.startswith(b"#") and b"\0" not in line:
            # UTF-8, or bytes as the file system has them; older programs on Windows write in its code page.
            texts = (os.fsdecode(line), line.decode("cp1252", errors="replace"))
            found = (path for text in texts for path in existing([playlist.parent], text))
            entries.append(next(found, playlist.parent / texts[0]))
    return entries
