"""The one table: every command, and the keys of each kind of player.

What a key press does, the help screen, the documentation and what programs may send all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtsep.control.commands import devices, loops, mixing, navigation, practice, presets, queue, session
from rtsep.control.commands.base import Command

COMMANDS: tuple[type[Command], ...] = (
    navigation.TogglePause,
    navigation.Play,
    navigation.Pause,
    navigation.Seek,
    navigation.Nudge,
    navigation.ToggleLoop,
    loops.SetLoop,
    loops.ClearLoop,
    loops.LoopBars,
    loops.SaveLoop,
    loops.UseLoop,
    loops.RemoveLoop,
    loops.SetLoopSpeedUp,
    navigation.SetCue,
    navigation.GoToCue,
    navigation.Previous,
    navigation.Next,
    queue.GoToSong,
    queue.RemoveSong,
    queue.MoveSong,
    practice.SetSpeed,
    practice.ChangeSpeed,
    practice.SetKey,
    practice.ChangeKey,
    practice.SetLyricsOffset,
    practice.TapTempo,
    practice.SetTempo,
    practice.ToggleMetronome,
    practice.MuteRange,
    practice.ClearMutedRanges,
    mixing.ToggleMute,
    mixing.SetMute,
    mixing.ToggleSolo,
    mixing.AllOn,
    mixing.SetGain,
    mixing.ChangeGain,
    mixing.Select,
    mixing.SelectNext,
    presets.UsePreset,
    presets.NextPreset,
    mixing.ToggleBypass,
    mixing.SetVolume,
    mixing.ChangeVolume,
    devices.SetOutput,
    devices.SetInput,
    session.Quit,
)
"""All that programs may send, in the order of the documentation."""

SMALL_SEEK_S = 5.0
LARGE_SEEK_S = 60.0
GAIN_STEP_DB = 1.0
SPEED_STEP = 0.05
SHIFTED_DIGITS = "!@#$%^&*"
"""What SHIFT+1 to SHIFT+8 type on a US keyboard; a terminal reports characters, not keys."""


@dataclass(frozen=True)
class Binding:
    """Keys as `rtsep.ui.keyboard` names them; `shown` and `text` for people; a command for each key, or one for all."""

    keys: tuple[str, ...]
    shown: str
    text: str
    commands: tuple[Command, ...]

    def command(self, key: str) -> Command:
        """What `key`, one of `keys`, stands for."""
        return self.commands[self.keys.index(key) if len(self.commands) > 1 else 0]


@dataclass(frozen=True)
class KeyTable:
    """The keys of one kind of player."""

    bindings: tuple[Binding, ...]

    def find(self, key: str) -> Command | None:
        """The command of `key`; None if it stands for nothing."""
        return next((binding.command(key) for binding in self.bindings if key in binding.keys), None)

    def text(self) -> str:
        """The table for the screen, one line a binding."""
        width = max(len(binding.shown) for binding in self.bindings)
        return "\n".join(f"{binding.shown:<{width}}  {binding.text}" for binding in self.bindings)

    def sentence(self) -> str:
        """The table as one sentence, for `--help`."""
        return "Keys: " + "; ".join(f"{binding.shown} {binding.text}" for binding in self.bindings) + "."

    def markdown(self) -> str:
        """The table in Markdown, for the documentation."""
        rows = [f"| `{binding.shown}` | {binding.text} |" for binding in self.bindings]
        return "\n".join(["| key | action |", "|---|---|", *rows])


def _bind(keys: str | tuple[str, ...], shown: str, text: str, *commands: Command) -> Binding:
    return Binding((keys,) if isinstance(keys, str) else keys, shown, text, commands)


_NAVIGATION = (
    _bind((" ", "p"), "SPACE p", "pause or resume", navigation.TogglePause()),
    _bind("left", "LEFT", "5 s back", navigation.Nudge(-SMALL_SEEK_S)),
    _bind("right", "RIGHT", "5 s forward", navigation.Nudge(SMALL_SEEK_S)),
    _bind("down", "DOWN", "60 s back", navigation.Nudge(-LARGE_SEEK_S)),
    _bind("up", "UP", "60 s forward", navigation.Nudge(LARGE_SEEK_S)),
    _bind("l", "l", "set loop start, set loop end, clear loop", navigation.ToggleLoop()),
    _bind("c", "c", "set the cue point", navigation.SetCue()),
    _bind("v", "v", "jump to the cue point", navigation.GoToCue()),
    _bind("<", "<", "start of song, previous song", navigation.Previous()),
    _bind(">", ">", "next song", navigation.Next()),
)
_PRACTICE = (
    _bind("[", "[", "5 % slower, same key", practice.ChangeSpeed(-SPEED_STEP)),
    _bind("]", "]", "5 % faster, same key", practice.ChangeSpeed(SPEED_STEP)),
    _bind("backspace", "BACKSPACE", "normal speed", practice.SetSpeed(1.0)),
    _bind("{", "{", "a semitone down, same speed", practice.ChangeKey(-1.0)),
    _bind("}", "}", "a semitone up, same speed", practice.ChangeKey(1.0)),
    _bind("t", "t", "tap the tempo: four times in time with the song", practice.TapTempo()),
    _bind("M", "M", "metronome on or off", practice.ToggleMetronome()),
)
_PAUSE_LIVE = (_bind((" ", "p"), "SPACE p", "mute or unmute the output", navigation.TogglePause()),)
_MIXING = (
    _bind(tuple("12345678"), "1 ... 8", "mute or unmute a stem", *map(mixing.ToggleMute, range(8))),
    _bind(tuple(SHIFTED_DIGITS), "SHIFT+1 ... 8", "solo a stem, or all stems again", *map(mixing.ToggleSolo, range(8))),
    _bind("0", "0", "all stems on", mixing.AllOn()),
    _bind("k", "k", "next preset: karaoke, drumless and so on, all stems", presets.NextPreset()),
    _bind("b", "b", "bypass: hear the original mix", mixing.ToggleBypass()),
    _bind("tab", "TAB", "select the next stem", mixing.SelectNext()),
    _bind(("+", "="), "+", "selected stem 1 dB louder", mixing.ChangeGain(GAIN_STEP_DB)),
    _bind(("-", "_"), "-", "selected stem 1 dB softer", mixing.ChangeGain(-GAIN_STEP_DB)),
    _bind(",", ",", "volume 1 dB down", mixing.ChangeVolume(-GAIN_STEP_DB)),
    _bind(".", ".", "volume 1 dB up", mixing.ChangeVolume(GAIN_STEP_DB)),
    _bind("?", "?", "show the keys", session.Help()),
    _bind("q", "q", "quit", session.Quit()),
)

PLAY_KEYS = KeyTable((*_NAVIGATION, *_PRACTICE, *_MIXING))
LIVE_KEYS = KeyTable((*_PAUSE_LIVE, *_MIXING))

_QUEUE_VIEW = (_bind("u", "u", "show the queue: play, add, remove and move songs", session.Show("queue")),)
_VIEWS = (
    _bind("d", "d", "choose a sound device", session.Show("devices")),
    _bind("s", "s", "show the spectrogram, of the mix and then of each stem", session.Show("spectrogram")),
    _bind("i", "i", "show latency and health", session.Show("health")),
    _bind("e", "e", "show messages", session.Show("messages")),
    _bind(":", ":", "find a command by what it does", session.Palette()),
)
VIEW_KEYS = KeyTable((*_QUEUE_VIEW, *_VIEWS))
"""What only the app in the terminal has, which has panels."""
PLAY_APP_KEYS = KeyTable((*PLAY_KEYS.bindings, *VIEW_KEYS.bindings))
LIVE_APP_KEYS = KeyTable((*LIVE_KEYS.bindings, *_VIEWS))
