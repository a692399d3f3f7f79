"""Live input and output: one PortAudio stream if the devices share a clock, else two."""

from __future__ import annotations

from rtsep.audio.callback.routing import NO_ROUTES, Routes
from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.sound_server import SOUND_SERVERS
from rtsep.audio.streams.device_stream import CaptureStream, DuplexStream, OutputStream, PlayingStream
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from rtsep.shared.stream_clock import last_stamp
from rtsep.timebase import RESERVE_S, SAMPLE_RATE


def share_clock(input_device: Device, output_device: Device) -> bool:
    """Whether two devices run on one clock, so that one callback can serve both.

    True for one device, and for two ports of one JACK server. ALSA's `default` is two devices under one name.
    """
    if input_device.host_api != output_device.host_api:
        return False
    if "JACK" in input_device.host_api:
        return True
    return input_device.index == output_device.index and input_device.name not in SOUND_SERVERS


class LiveStream:
    """Captures from `input_device` into a shared state and plays the shared state on `output_device`.

    Args:
        reserve_s: sound that the output buffers beyond a block, in case the next one is late; in seconds.
        routes: as of `OutputStream`.

    Attributes:
        capture: counters of the capture side.
        duplex: whether one PortAudio stream does both.

    Raises RtsepError if a device can't be opened.
    """

    def __init__(
        self,
        shared: SharedState,
        input_device: Device,
        output_device: Device,
        blocksize: int = 256,
        reserve_s: float = RESERVE_S["standard"],
        routes: Routes = NO_ROUTES,
    ) -> None:
        self._shared = shared
        self.duplex = share_clock(input_device, output_device)
        output_latency_s = blocksize / SAMPLE_RATE + reserve_s
        if self.duplex:
            duplex = DuplexStream(
                shared, (input_device.index, output_device.index), blocksize, ("low", output_latency_s), routes
            )
            self._output: PlayingStream = duplex
            self._streams: list[CaptureStream | OutputStream | DuplexStream] = [duplex]
            self.capture = duplex.capture
            return
        output = OutputStream(shared, output_device.index, blocksize, latency=output_latency_s, routes=routes)
        try:
            capture = CaptureStream(shared, output.clock, input_device.index, blocksize)
        except BaseException:
            output.close()
            raise
        self._output = output
        self._streams = [capture, output]
        self.capture = capture.capture

    @property
    def reported_latency_s(self) -> float:
        """Input and output latency as PortAudio reports it: buffer sizes, often more than what they hold."""
        return sum(stream.latency_s for stream in self._streams)

    @property
    def transit_s(self) -> float | None:
        """Seconds from converter to converter for a sound that plays now, by time stamps; None if unknown.

        A host API that doesn't know the converters' times reports those of the calls: less than the ring's own delay.
        """
        entered, left = last_stamp(self.capture.clock), last_stamp(self._output.clock)
        head = self._shared.callback.read()
        if entered is None or left is None or head.kind in (Kind.SILENT, Kind.WAITING):
            return None
        position = left[0] + head.position - head.frames  # the clock counts frames, and the head moves with them
        transit_s = left[1] - entered[1] - (position - entered[0]) / SAMPLE_RATE + self._output.delay_s
        return transit_s if transit_s * SAMPLE_RATE > head.distance else None

    def start(self) -> None:
        """Start capturing, then playing. RtsepError if either fails."""
        for stream in self._streams:
            stream.start()

    def stop(self) -> bool:
        """Stop both; False if PortAudio didn't return in time from one of them."""
        stopped = [stream.stop() for stream in reversed(self._streams)]
        return all(stopped)

    def close(self) -> bool:
        """Close both at once; the result is as of `stop`. Idempotent."""
        closed = [stream.close() for stream in reversed(self._streams)]
        return all(closed)
