"""An input and an output as one live stream: one PortAudio stream where they share a clock, else two."""

from __future__ import annotations

from rtsep.audio.callback.routing import NO_ROUTES, Routes
from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.sound_server import SOUND_SERVERS
from rtsep.audio.streams.device_stream import CaptureStream, DuplexStream, OutputStream, PlayingStream
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from rtsep.shared.stream_clock import last_stamp
from rtsep.timebase import RESERVE_S, SAMPLE_RATE


def share_clock(given: Device, taken: Device) -> bool:
    """Whether two devices run on one clock, so that one callback can serve both.

    They do when they are one device, or two ports of one JACK server. ALSA's `default` is two devices under one name.
    """
    if given.host_api != taken.host_api:
        return False
    if "JACK" in given.host_api:
        return True
    return given.index == taken.index and given.name not in SOUND_SERVERS


class LiveStream:
    """Captures from `given` into a shared state and plays the shared state on `taken`.

    Args:
        reserve_s: of sound that the output holds beyond a block, for when nobody brings another in time.
        routes: as of `OutputStream`.

    Attributes:
        capture: counters of the capture side.
        duplex: whether one PortAudio stream does both.

    Raises RtsepError if a device cannot be opened.
    """

    def __init__(
        self,
        shared: SharedState,
        given: Device,
        taken: Device,
        blocksize: int = 256,
        reserve_s: float = RESERVE_S["standard"],
        routes: Routes = NO_ROUTES,
    ) -> None:
        self._shared = shared
        self.duplex = share_clock(given, taken)
        held_s = blocksize / SAMPLE_RATE + reserve_s
        if self.duplex:
            both = DuplexStream(shared, (given.index, taken.index), blocksize, ("low", held_s), routes)
            self._output: PlayingStream = both
            self._streams: list[CaptureStream | OutputStream | DuplexStream] = [both]
            self.capture = both.capture
            return
        playing = OutputStream(shared, taken.index, blocksize, latency=held_s, routes=routes)
        try:
            taking = CaptureStream(shared, playing.clock, given.index, blocksize)
        except BaseException:
            playing.close()
            raise
        self._output = playing
        self._streams = [taking, playing]
        self.capture = taking.capture

    @property
    def reported_latency_s(self) -> float:
        """Input and output latency as PortAudio reports them: sizes of buffers, often more than what is in them."""
        return sum(stream.latency_s for stream in self._streams)

    @property
    def passage_s(self) -> float | None:
        """Seconds from converter to converter for a sound that plays now, by time stamps; None where they cannot tell.

        A host that does not know the converters' times gives those of the calls: less than the ring's own distance.
        """
        entered, left = last_stamp(self.capture.clock), last_stamp(self._output.clock)
        head = self._shared.callback.read()
        if entered is None or left is None or head.kind in (Kind.SILENT, Kind.WAITING):
            return None
        position = left[0] + head.position - head.frames  # the clock counts frames, and the head moves with them
        passage_s = left[1] - entered[1] - (position - entered[0]) / SAMPLE_RATE + self._output.delay_s
        return passage_s if passage_s * SAMPLE_RATE > head.distance else None

    def start(self) -> None:
        """Begin to capture, then to play. RtsepError if either does not."""
        for stream in self._streams:
            stream.start()

    def stop(self) -> bool:
        """Stop both; False if PortAudio did not come back from one of them in time."""
        stopped = [stream.stop() for stream in reversed(self._streams)]
        return all(stopped)

    def close(self) -> bool:
        """Close both at once; returns as `stop` does. Idempotent."""
        closed = [stream.close() for stream in reversed(self._streams)]
        return all(closed)
