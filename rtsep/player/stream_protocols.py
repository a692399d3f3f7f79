"""The protocols of the streams that players use, see `rtsep.audio.streams.device_stream` and `live_stream`."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """A stream that is open on one or two devices; see `rtsep.audio.streams.device_stream.DeviceStream`."""

    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


class PlaybackStream(Stream, Protocol):
    """An output, see `rtsep.audio.streams.device_stream.OutputStream`."""

    @property
    def latency_s(self) -> float: ...


class Capture(Protocol):
    """The counters of an input, see `rtsep.audio.callback.capture.CaptureControl`."""

    @property
    def frames(self) -> int: ...
    @property
    def max_block(self) -> int: ...
    @property
    def overflows(self) -> int: ...
    @property
    def bad_samples(self) -> int: ...
    def reset_target(self) -> None: ...


class TwoWayStream(Stream, Protocol):
    """An input and an output, see `rtsep.audio.streams.live_stream.LiveStream`."""

    @property
    def capture(self) -> Capture: ...
    @property
    def duplex(self) -> bool: ...
    @property
    def transit_s(self) -> float | None: ...
    @property
    def reported_latency_s(self) -> float: ...
