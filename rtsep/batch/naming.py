"""Names of outputs: a template filled from tags, safe on every file system, no two the same."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtsep.audio.files.encode import Encoding
from rtsep.audio.files.tags import Tags
from rtsep.errors import UsageError

DEFAULT_TEMPLATE = "{name}/{stem}.{ext}"
ONE_FILE_TEMPLATE = "{name}.{ext}"
"""Of a format whose files hold all stems of a song."""
_TAG_FIELDS = ("artist", "albumartist", "album", "title", "track", "disc", "year", "genre", "composer")
_FIELDS = ("name", *_TAG_FIELDS, "stem", "ext")
_FORBIDDEN = '<>:"/\\|?*'
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST_BYTES = 240
"""Of a name: below the usual 255, since a number may be added."""


@dataclass(frozen=True)
class Template:
    """A path with fields in braces, such as ``{artist}/{album}/{track} {title}/{stem}.{ext}``.

    Raises UsageError if it is not a relative path of known fields that ends with the extension.
    """

    text: str = DEFAULT_TEMPLATE

    def __post_init__(self) -> None:
        try:
            parsed = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise UsageError(f"--template {self.text}: {error}") from error
        for _, name, spec, conversion in parsed:
            if name is not None and (name not in _FIELDS or spec or conversion):
                expected = ", ".join(f"{{{known}}}" for known in _FIELDS)
                raise UsageError(f"--template {self.text}: {{{name}}} is not a field; the fields are {expected}")
        parts = self.text.split("/")
        if not all(part.strip(". ") for part in parts) or not parts[-1].endswith(".{ext}"):
            raise UsageError(
                f'--template {self.text}: expected a path inside the output folder that ends with ".{{ext}}", for '
                f"example {DEFAULT_TEMPLATE}"
            )

    @property
    def needs_tags(self) -> bool:
        return any(f"{{{name}}}" in self.text for name in _TAG_FIELDS)

    def check(self, outputs: int) -> None:
        """Raise UsageError if it gives several outputs of a song one name."""
        if outputs > 1 and "{stem}" not in self.text:
            raise UsageError(
                f"--template {self.text}: expected {{stem}} in it, since each song becomes {outputs} files"
            )

    def paths(
        self, fields: Mapping[str, str], stems: Collection[str], number: int, root: Path = Path()
    ) -> dict[str, Path]:
        """Stem -> path below `root`. From `number` 2 on, " (2)" is added to the last name that all stems share."""
        parts = self.text.split("/")
        shared = max((index for index, part in enumerate(parts) if "{stem}" not in part), default=len(parts) - 1)
        made = {}
        for stem in stems:
            names = [
                _name(part, {**fields, "stem": stem}, number if index == shared else 1)
                for index, part in enumerate(parts)
            ]
            made[stem] = root.joinpath(*names)
        return made


DEFAULT = Template()


def template_for(text: str | None, format: str) -> Template:
    """The template that somebody wrote, or the default one of a format."""
    return Template(text or (ONE_FILE_TEMPLATE if Encoding(format).holds_all else DEFAULT_TEMPLATE))


def fields_of(song: Path, tags: Tags, ext: str) -> dict[str, str]:
    """The fields of a song; a name for what its tags do not tell."""

    def number(name: str) -> str:
        digits = re.match(r"\s*(\d+)", tags.first(name))
        return f"{int(digits[1]):02d}" if digits else ""

    artist = tags.first("artist") or tags.first("albumartist") or "Unknown artist"
    return {
        "name": song.stem,
        "artist": artist,
        "albumartist": tags.first("albumartist") or artist,
        "album": tags.first("album") or "Unknown album",
        "title": tags.first("title") or song.stem,
        "track": number("tracknumber"),
        "disc": number("discnumber"),
        "year": tags.first("date")[:4] or "Unknown year",
        "genre": tags.first("genre") or "Unknown genre",
        "composer": tags.first("composer") or "Unknown composer",
        "ext": ext,
    }


@dataclass
class UsedPaths:
    """The paths given so far, as a file system sees them that ignores case and Unicode form."""

    _used: set[str] = field(default_factory=set)

    def claim(self, paths: Callable[[int], Mapping[str, Path]]) -> dict[str, Path]:
        """The first of ``paths(1)``, ``paths(2)``, … of which none is used."""
        number = 1
        while True:
            found = dict(paths(number))
            keys = {unicodedata.normalize("NFC", str(path)).casefold() for path in found.values()}
            if not keys & self._used:
                self._used |= keys
                return found
            number += 1


def _name(part: str, fields: Mapping[str, str], number: int) -> str:
    """One folder or file name of a template, in at most `_LONGEST_BYTES`."""
    ending = ".{ext}" if part.endswith(".{ext}") else ""
    base = part.removesuffix(ending)
    text = ""
    for longest in range(_LONGEST_BYTES, 0, -8):
        short = {name: value if name == "stem" else _cut(value, longest) for name, value in fields.items()}
        text = _safe(base.format(**{name: value.replace("/", "_") for name, value in short.items()}))
        if len(text.encode()) <= _LONGEST_BYTES - len(fields["ext"]) - 1:
            break
    text = text if text.strip(". ") else "track"
    text += f" ({number})" if number > 1 else ""
    return text + (f".{fields['ext']}" if ending else "")


def _safe(text: str) -> str:
    """`text` as a name that Windows, macOS and Linux accept."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(
        "_" if letter in _FORBIDDEN or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in text
    )
    text = text.strip().rstrip(". ")
    return f"_{text}" if _RESERVED.fullmatch(text) else text


def _cut(text: str, longest: int) -> str:
    """The beginning of a text, at most `longest` bytes of UTF-8; a lone surrogate counts as one."""
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore") if len(text) * 4 > longest else text
