"""The player of live sound: separates an input and plays it with a known delay.

The delay is set by `live_latency`, lost devices are reopened by `device_keeper`, and feedback loops are found by
`feedback_guard`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rtsep.audio.devices.discovery import Device, Direction, find_device
from rtsep.audio.devices.feedback import feedback_risk
from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import Engine
from rtsep.errors import UsageError
from rtsep.player.device_keeper import LOOK_S, DeviceKeeper, Side
from rtsep.player.faders import db_to_linear
from rtsep.player.feedback_guard import FeedbackGuard
from rtsep.player.live_latency import EPOCH, LiveLatency
from rtsep.player.mixer import Mixer
from rtsep.player.notices import Notices
from rtsep.player.recorder import Recorder
from rtsep.player.snapshot import LiveSnapshot, PlayerSnapshot
from rtsep.player.stream_protocols import Capture, TwoWayStream
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

CALIBRATION_S = 1.5
"""Length of the measurement before the first sound: long enough for the slowest hops to show, short enough to wait
for."""
RECALIBRATION_S = 1.0
"""The same after devices were lost and reopened."""
STAMPS_ENOUGH, STAMPS_LIMIT_S = 5, 1.0
"""Time stamps wanted before the latency is shown at the start, and how long to wait for them: there may be none."""
FEEDBACK = (
    "feedback loop: the input picks up the output; output muted. Turn down the faders or separate input and output, "
    "then resume with SPACE; --allow-feedback turns this check off"
)


class LivePlayer(Mixer):
    """Separates an input and plays it. A context manager; `close` ends stream, recorder and worker in this order.

    Args:
        open_on: opens an input and an output for a shared state, e.g. ``rtsep.audio.streams.live_stream.LiveStream``;
            called again after a device was lost.
        input, output: the devices, and whether the system's defaults may replace them when they are lost.
        model, compute, latency, mask_extension: see `rtsep.engine.live_engine.Engine`.
        chunk: frames a step; None is 1.
        record: folder for the recording, see `rtsep.player.recorder.Recorder`.
        allow_feedback: whether to play on through a feedback loop, and to reopen devices that would cause one.

    Attributes:
        live_latency: the delay between input and output.

    Raises RtsepError for a model, device or folder that can't be used.
    """

    def __init__(
        self,
        open_on: Callable[[SharedState, Device, Device], TwoWayStream],
        input: Side,
        output: Side,
        *,
        model: Path | str | None = None,
        chunk: int | None = None,
        compute: str = "auto",
        latency: str = "standard",
        mask_extension: str | None = None,
        record: Path | None = None,
        allow_feedback: bool = False,
    ) -> None:
        self._open_on = open_on
        self._sides = (input, output)
        self._allow_feedback = allow_feedback
        self._keeper: DeviceKeeper[TwoWayStream] | None = None
        self._capture: Capture | None = None
        self._lost_counts = (0, 0)
        """Overflows and bad samples of the streams before this one."""
        self._recorder: Recorder | None = None
        self._closed = threading.Event()
        self._closing = ExitStack()
        engine = Engine(model, chunk=chunk or 1, compute=compute, latency=latency, mask_extension=mask_extension)
        super().__init__(engine)
        self._closing.callback(self.engine.close)
        try:
            if record is not None:
                self._recorder = Recorder(self.shared, record, self.stems)
                self._closing.callback(self._recorder.close)
        except BaseException:
            self._closing.close()
            raise
        self.live_latency = LiveLatency(engine, self._closed)
        self._guard = FeedbackGuard(self.shared, EPOCH)
        self._paused = False
        self._notices = Notices()

    def __enter__(self) -> LivePlayer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self, limit_s: float = 120.0) -> None:
        """Wait for the worker, open the devices, measure for a while to set the margin, then start to play.

        RtsepError if the worker doesn't start, a device doesn't open or the input delivers nothing.
        """
        self.engine.wait_ready(limit_s)
        self.shared.mixture.restart(EPOCH, 0, 0)
        self._keeper = DeviceKeeper(
            self._sides,
            partial(self._open_on, self.shared),
            lambda stream: (stream.capture.frames, self.shared.callback.frames),
            self._report,
            on_start=self._on_start,
            on_look=self._on_look,
            refuse=self._refuse,
        )
        self._keeper.start()
        self.engine.poll()
        if self._recorder is not None:
            self._recorder.start(EPOCH, self.shared.mixture.end)
        deadline = time.monotonic() + STAMPS_LIMIT_S
        while len(self.live_latency.passages_s) < STAMPS_ENOUGH and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def close(self) -> None:
        """End stream, recorder and worker; the recording gets its file names. May be called twice."""
        self._closed.set()
        with self._closing:  # even if interrupted, or the recording would be lost
            if self._keeper is not None:
                # First of all: the callbacks use the shared state, which is freed with the engine.
                self._keeper.stop()
                self._keeper.close()

    # -- pause mutes the output; capture, separation and recording continue, so that it resumes at once ---------

    def pause(self) -> None:
        """Mute the output."""
        self._paused = True
        self._apply_volume()

    def play(self) -> None:
        """Unmute the output."""
        self._paused = False
        self._apply_volume()

    def toggle_pause(self) -> None:
        """Mute the output, or resume."""
        self._paused = not self._paused
        self._apply_volume()

    @property
    def _output_gain(self) -> float:
        return 0.0 if self._paused else super()._output_gain * self._guard.gain

    @property
    def _amplification(self) -> float:
        """Linear, the most by which anything is amplified between input and output."""
        loudest = 1.0 if self.shared.transport.bypass else max(map(self.linear_gain, range(len(self.stems))))
        return loudest * db_to_linear(self._volume_db)

    def use_device(self, kind: Direction, name: str) -> None:
        """Go over to another input or output while playing; see `rtsep.audio.devices.discovery.find_device` for names.

        RtsepError if there is none. If it cannot be opened, or would cause a feedback loop, a notice says so.
        """
        if self._keeper is None:
            raise UsageError("devices cannot be changed before they are open")
        self._keeper.change(kind, find_device(name, kind))

    def use_output(self, name: str) -> None:
        """`use_device` for the output."""
        self.use_device("output", name)

    # -- called by the keeper -----------------------------------------------------------------------------------

    def _on_start(self, stream: TwoWayStream) -> None:
        """Measure the latency of the first stream, or of another one: even the same devices may differ."""
        measure_s = CALIBRATION_S if self._capture is None else RECALIBRATION_S
        self._lost_counts = self._counts()
        self._capture = stream.capture
        self._guard.reset()
        self.live_latency.calibrate(stream, measure_s)
        self.live_latency.jump()

    def _counts(self) -> tuple[int, int]:
        """Overflows and bad samples so far, of all streams."""
        if self._capture is None:
            return 0, 0
        return self._lost_counts[0] + self._capture.overflows, self._lost_counts[1] + self._capture.bad_samples

    def _on_look(self) -> None:
        self._notices.extend(self.live_latency.watch())
        try:
            if self._paused or self._allow_feedback:
                self._guard.reset()
            elif self._guard.look(self.live_latency.samples, self._amplification):
                self._paused = True
                self._report(FEEDBACK)
        except BaseException:
            self._guard.reset()  # or the output might stay muted
            raise
        finally:
            self._apply_volume()

    def _refuse(self, input: Device, output: Device) -> str | None:
        risk = None if self._allow_feedback else feedback_risk(input, output)
        return None if risk is None else f"{risk}; looking for another device"

    def _report(self, line: str) -> None:
        self._notices.append(f"{line} (at {self.shared.mixture.end / SAMPLE_RATE:.1f} s)")

    # -- status -------------------------------------------------------------------------------------------------

    def latency(self) -> Latency:
        """The three parts as they are now, see `LiveLatency.latency`."""
        return self.live_latency.latency()

    @property
    def notices(self) -> Notices:
        """What happened to devices and latency; the status has the last hundred, and the engine's notices."""
        return self._notices

    def status(self) -> PlayerSnapshot:
        """A snapshot. If the engine has given up, `messages` say why; the original mix plays on."""
        head = self.shared.callback.read()
        overflows, bad_samples = self._counts()
        recorder = self._recorder
        recorder_failure = recorder.failure if recorder is not None else None
        return self._snapshot(
            head,
            position_s=head.position / SAMPLE_RATE,
            length_s=None,
            playing=not self._paused,
            ended=False,
            latency=self.latency(),
            input_device=self._sides[0].device.name,
            output_device=self._sides[1].device.name,
            messages=tuple(text for text in (self.engine.failure, recorder_failure) if text is not None),
            notices=(*self.engine.notices, *self._notices),
            live=LiveSnapshot(
                overflows=overflows,
                bad_samples=bad_samples,
                rejumps=max(self.live_latency.jumps - 1, 0),
                device_measured=bool(self.live_latency.passages_s),
                recorded_s=recorder.seconds if recorder is not None else 0.0,
                recording_gaps=recorder.gaps if recorder is not None else 0,
            ),
        )
