"""Presets: the faders of all stems at once, for karaoke and for practising. Own ones are in a file of the user's.

[presets.quiet-vocals]   # presets.toml in the user's folder for settings, see `own_presets_path`
vocals = -12             # dB, -60 to 12, or "off"
others = 0               # all stems that are not named; 0 if left out
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from rtsep.errors import UsageError
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB
from rtsep.player.mixer import Mixer

OFF_DB = float("-inf")
OTHERS = "others"


@dataclass(frozen=True)
class Preset:
    """Gains in dB by stem, and that of all stems that are not named."""

    name: str
    gains_db: Mapping[str, float]
    others_db: float = 0.0

    def gain_db(self, stem: str) -> float:
        """The gain that it gives a stem."""
        return self.gains_db.get(stem, self.others_db)


BUILT_IN = (
    Preset("karaoke", {"vocals": OFF_DB}),
    Preset("drumless", {"drums": OFF_DB}),
    Preset("a-cappella", {"vocals": 0.0}, others_db=OFF_DB),
    Preset("bass-practice", {"bass": OFF_DB}),
)


def own_presets_path() -> Path:
    """The file of the user's own presets; there need not be one."""
    return Path(platformdirs.user_config_dir("rtsep")) / "presets.toml"


def load_presets(path: Path | None = None) -> dict[str, Preset]:
    """The presets by name, the user's own after those of rtsep, or in place of one with the same name.

    Raises UsageError, naming file and value, if the file is there and cannot be used.
    """
    path = own_presets_path() if path is None else path
    presets = {preset.name: preset for preset in BUILT_IN}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return presets
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    tables = content.get("presets")
    if not isinstance(tables, dict) or len(content) > 1:
        raise UsageError(f"{path}: expected only tables like [presets.karaoke]")
    for name, table in tables.items():
        if not isinstance(table, dict) or not table:
            raise UsageError(f"{path}: presets.{name}: expected a table of stems and dB, such as vocals = -12")
        gains = {stem: _gain_db(value, f"{path}: presets.{name}.{stem}") for stem, value in table.items()}
        others_db = gains.pop(OTHERS, 0.0)
        presets[name] = Preset(name, gains, others_db)
    return presets


def _gain_db(value: Any, where: str) -> float:
    if value == "off":
        return OFF_DB
    if isinstance(value, int | float) and not isinstance(value, bool) and MIN_GAIN_DB <= value <= MAX_GAIN_DB:
        return float(value)
    raise UsageError(f'{where} = {value!r}: expected dB from {MIN_GAIN_DB:g} to {MAX_GAIN_DB:g}, or "off"')


def apply_preset(preset: Preset, mixer: Mixer) -> None:
    """Set all faders of a mixer and clear its mutes and solos; UsageError if it lacks a stem that the preset names."""
    missing = [stem for stem in preset.gains_db if stem not in mixer.stems]
    if missing:
        raise UsageError(
            f"preset {preset.name}: {mixer.engine.model_name} has no {' and no '.join(missing)}; "
            f"it has {', '.join(mixer.stems)}"
        )
    mixer.all_on()
    for stem in mixer.stems:
        mixer.set_gain(stem, preset.gain_db(stem))


def find_preset(presets: Mapping[str, Preset], name: str) -> Preset:
    """A preset by its name; UsageError with all names if there is none."""
    if name not in presets:
        raise UsageError(f'no preset "{name}"; there are {", ".join(presets)}')
    return presets[name]


def used_preset(presets: Mapping[str, Preset], mixer: Mixer) -> str | None:
    """Name of the preset that the faders stand at; None if they stand at none."""
    if any(fader.muted or fader.solo for fader in mixer.faders):
        return None
    for preset in presets.values():
        if {*preset.gains_db} <= {*mixer.stems} and all(
            fader.gain_db == preset.gain_db(stem) for stem, fader in zip(mixer.stems, mixer.faders, strict=True)
        ):
            return preset.name
    return None


def next_preset(presets: Mapping[str, Preset], mixer: Mixer) -> None:
    """Apply the next preset that has all its stems, after the last one all stems at 0 dB."""
    fitting = [preset for preset in presets.values() if {*preset.gains_db} <= {*mixer.stems}]
    names = [preset.name for preset in fitting]
    used = used_preset(presets, mixer)
    following = names.index(used) + 1 if used in names else 0
    apply_preset(fitting[following] if following < len(fitting) else Preset("all", {}), mixer)
