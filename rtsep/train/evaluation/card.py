"""Write scores into a model's CARD.md, between two markers; the rest of the file stays as it is."""

from __future__ import annotations

from pathlib import Path

from rtsep.bundle import CARD_FILE
from rtsep.errors import RtsepError
from rtsep.files import write_atomically

BEGIN = "<!-- rtsep eval --card writes from here -->"
END = "<!-- rtsep eval --card writes to here -->"


def read_card(bundle: Path) -> tuple[str, str]:
    """The text before and after the scores, markers included; of a new card if the bundle has none.

    Raises RtsepError if the card cannot be read or has no markers.
    """
    path = bundle / CARD_FILE
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        text = f"# {bundle.name}\n\n## Scores\n\n{BEGIN}\n{END}\n"
    except (OSError, UnicodeDecodeError) as error:
        raise RtsepError(f"cannot read {path}: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise RtsepError(f"{path} has no place for the scores: add the lines {BEGIN} and {END}")
    return before + begin, end + after


def write_scores(bundle: Path, scores: str) -> None:
    """Replace the scores (Markdown) in the card, atomically. Raises RtsepError as `read_card` does."""
    before, after = read_card(bundle)
    write_atomically(bundle / CARD_FILE, f"{before}\n\n{scores}\n\n{after}".encode())
