"""Measures the devices' part of the latency: noise bursts are played, captured over a cable or loop-back, and located.

Streams and rings are those of live sound; the stem ring is filled beforehand with bursts of noise, which the callback
plays as if a worker had made them. A burst played at position p is captured at position s. Of s - p, the distance
between play head and captured sound belongs to the ring, the rest to the devices.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.devices.discovery import Device
from rtsep.audio.streams.live_stream import LiveStream
from rtsep.errors import RtsepError
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Kind
from rtsep.timebase import SAMPLE_RATE

BURST = 4096
LEVEL = 0.2  # of full scale, the loudest sample
FIRST, APART, COUNT = 22050, 22050, 6
LENGTH = FIRST + APART * COUNT
LONGEST = APART - BURST  # a loop that takes longer is not recognised
CLEAR = 8.0  # a burst is heard when its peak stands out this much from the correlation around it


@dataclass(frozen=True)
class Loopback:
    """Latency of output and input together, in samples at 44 100 Hz, beyond the blocks that live sound counts.

    Attributes:
        measured: the median of the bursts; `spread`: between the longest and the shortest of them.
        stamped: the same by the streams' time stamps, None if there are none; `rtsep live` shows this.
        reported: what PortAudio reports for input and output together, without their block.
        duplex: whether one stream served both devices.
    """

    measured: int
    spread: int
    stamped: int | None
    reported: int
    block: int
    duplex: bool


def measure_loopback(input_device: Device, output_device: Device, block: int) -> Loopback:
    """Play bursts on `output_device` and locate them in what `input_device` captures. Takes four seconds.

    RtsepError if a device can't be opened or the bursts aren't captured.
    """
    burst = (LEVEL * np.random.default_rng(0).uniform(-1, 1, BURST)).astype(np.float32)
    layout = SharedLayout(("noise",))
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    shared.mixture.restart(1, 0, 0)
    sound = np.zeros((2, LENGTH + SAMPLE_RATE), np.float32)
    for begin in range(FIRST, LENGTH, APART):
        sound[:, begin : begin + BURST] = burst
    shared.stem.restart(1, 0, 0)
    shared.stem.write(sound)
    stream = LiveStream(shared, input_device, output_device, block)
    try:
        stream.start()
        time.sleep(0.5)  # the first quarter of a second can be stale
        shared.transport.playing = True
        shared.transport.post(0, 1, 0)
        distances, passages_s = _watch(shared, stream)
        reported = round(stream.reported_latency_s * SAMPLE_RATE) - block
        heard = np.zeros((2, shared.mixture.end), np.float32)
        if not shared.mixture.read(0, heard, 1):
            raise RtsepError("the capture took too long, so nothing was measured: try again")
    finally:
        stream.stop()
        stream.close()
    distance = round(float(np.median(distances)))
    delays = [
        _place(burst, heard[0], begin + distance) for begin in range(FIRST, LENGTH, APART)
    ]  # samples beyond the ring's own distance
    found = [delay for delay in delays if delay is not None]
    if len(found) < COUNT // 2:
        raise RtsepError(
            f'"{input_device.name}" did not capture what "{output_device.name}" played; connect them with a cable'
        )
    stamped = round(float(np.median(passages_s)) * SAMPLE_RATE) - distance if passages_s else None
    return Loopback(
        measured=round(float(np.median(found))),
        spread=max(found) - min(found),
        stamped=stamped,
        reported=reported,
        block=block,
        duplex=stream.duplex,
    )


def _watch(shared: SharedState, stream: LiveStream) -> tuple[list[int], list[float]]:
    """Wait until all is played; returns the distances between the two heads and the transit times meanwhile."""
    distances: list[int] = []
    passages_s: list[float] = []
    deadline = time.monotonic() + 3 * LENGTH / SAMPLE_RATE
    while (head := shared.callback.read()).position < LENGTH:
        if time.monotonic() > deadline:
            raise RtsepError("the devices don't run at their sample rate, so nothing was measured: try other devices")
        if head.kind == Kind.WET and head.position > FIRST // 2:
            distances.append(head.distance)
            if (transit_s := stream.transit_s) is not None:
                passages_s.append(transit_s)
        time.sleep(0.01)
    return distances, passages_s


def _place(burst: NDArray[np.float32], heard: NDArray[np.float32], expected: int) -> int | None:
    """Samples after `expected` at which the burst begins in `heard`; None if it isn't clearly there."""
    first = max(expected - BURST, 0)
    part = heard[first : expected + LONGEST]
    if len(part) <= BURST:
        return None
    size = 1 << (len(part) + BURST).bit_length()
    match = np.fft.irfft(np.fft.rfft(part, size) * np.conj(np.fft.rfft(burst, size)), size)
    match = np.abs(match[: len(part) - BURST + 1])
    peak = int(np.argmax(match))
    if not match[peak] > CLEAR * np.median(match):
        return None
    return first + peak - expected
