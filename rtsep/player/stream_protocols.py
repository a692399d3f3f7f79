"""What the players ask of streams: `rtsep.audio.streams.device_stream`, `rtsep.audio.streams.live_stream`, and whoever
stands for them."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """What is opened on devices, and closed; see `rtsep.audio.streams.device_stream.DeviceStream`."""

    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


class PlaybackStream(Stream, Protocol):
    """What the player of files asks of `rtsep.audio.streams.device_stream.OutputStream`."""

    @property
    def latency_s(self) -> float: ...


class Capture(Protocol):
    """What the live player asks of the capture side, `rtsep.audio.callback.capture.CaptureControl`."""

    @property
    def frames(self) -> int: ...
    @property
    def max_block(self) -> int: ...
    @property
    def overflows(self) -> int: ...
    @property
    def bad_samples(self) -> int: ...
    def hold_anew(self) -> None: ...


class TwoWayStream(Stream, Protocol):
    """What the live player asks of `rtsep.audio.streams.live_stream.LiveStream`."""

    @property
    def capture(self) -> Capture: ...
    @property
    def duplex(self) -> bool: ...
    @property
    def passage_s(self) -> float | None: ...
    @property
    def reported_latency_s(self) -> float: ...
