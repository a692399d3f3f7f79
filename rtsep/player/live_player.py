"""Live sound: what comes in is heard separated, a known time later.

How much later is `distance`'s matter, and devices that come and go are `device_keeper`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.feedback import feedback_risk
from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import Engine
from rtsep.player.device_keeper import LOOK_S, DeviceKeeper, Side
from rtsep.player.faders import db_to_linear
from rtsep.player.feedback_guard import FeedbackGuard
from rtsep.player.live_latency import EPOCH, LiveLatency
from rtsep.player.mixer import Mixer
from rtsep.player.notices import Notices
from rtsep.player.recorder import Recorder
from rtsep.player.snapshot import LiveStatus, PlayerStatus
from rtsep.player.stream_protocols import Capture, TwoWayStream
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

CALIBRATION_S = 1.5
"""Listened to before the first sound: long enough for a tail of hops, short enough to be waited for."""
ANEW_S = 1.0
"""The same when devices were lost and found."""
STAMPS_ENOUGH, STAMPS_LIMIT_S = 5, 1.0
"""Looks before the latency is told at the start, and how long to wait for them where there may be none."""
FEEDBACK = (
    "feedback loop: the input picks up the output; output muted. Turn down the faders or separate input and output, "
    "then resume with SPACE; --allow-feedback turns this check off"
)


class LivePlayer(Mixer):
    """Separates what an input hears. A context manager; `close` ends stream, recorder and worker in this order.

    Args:
        open_on: opens an input and an output for a shared state, e.g. ``rtsep.audio.streams.live_stream.LiveStream``;
        once more when a
            device was lost.
        given, taken: the input and the output, and whether the system's default will do when they are gone.
        model, compute, latency: see `rtsep.engine.live_engine.Engine`.
        chunk: frames a step; None is 1.
        record: folder for the recording, see `rtsep.player.recorder.Recorder`.
        allow_feedback: whether it may go on with a microphone that hears the loudspeakers of its own device.

    Raises RtsepError for a model, device or folder that cannot be used.
    """

    def __init__(
        self,
        open_on: Callable[[SharedState, Device, Device], TwoWayStream],
        given: Side,
        taken: Side,
        *,
        model: Path | str | None = None,
        chunk: int | None = None,
        compute: str = "auto",
        latency: str = "standard",
        record: Path | None = None,
        allow_feedback: bool = False,
    ) -> None:
        self._open_on = open_on
        self._sides = (given, taken)
        self._allow_feedback = allow_feedback
        self._keeper: DeviceKeeper[TwoWayStream] | None = None
        self._capture: Capture | None = None
        self._lost_counts = (0, 0)
        """Overflows and bad samples of the streams before this one."""
        self._recorder: Recorder | None = None
        self._ending = threading.Event()
        self._closing = ExitStack()
        engine = Engine(model, chunk=chunk or 1, compute=compute, latency=latency)
        super().__init__(engine)
        self._closing.callback(self.engine.close)
        try:
            if record is not None:
                self._recorder = Recorder(self.shared, record, self.stems)
                self._closing.callback(self._recorder.close)
        except BaseException:
            self._closing.close()
            raise
        self.distance = LiveLatency(engine, self._ending)
        self._guard = FeedbackGuard(self.shared, EPOCH)
        self._paused = False
        self._notices = Notices()

    def __enter__(self) -> LivePlayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, limit_s: float = 120.0) -> None:
        """Wait for the worker, open the devices, listen for a while to set the margin, then begin to play.

        RtsepError if the worker does not start, a device does not open or the input gives nothing.
        """
        self.engine.wait_ready(limit_s)
        self.shared.mixture.restart(EPOCH, 0, 0)
        self._keeper = DeviceKeeper(
            self._sides,
            partial(self._open_on, self.shared),
            lambda stream: (stream.capture.frames, self.shared.callback.frames),
            self._tell,
            begin=self._begin,
            look=self._look,
            refuse=self._refuse,
        )
        self._keeper.start()
        self.engine.poll()
        if self._recorder is not None:
            self._recorder.start(EPOCH, self.shared.mixture.end)
        deadline = time.monotonic() + STAMPS_LIMIT_S
        while len(self.distance.passages_s) < STAMPS_ENOUGH and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def close(self) -> None:
        """End everything, orderly; the recording gets its names. May be called twice."""
        self._ending.set()
        with self._closing:  # whatever interrupts, or the recording would be lost
            if self._keeper is not None:
                # First of all: the callbacks look at the shared state, which goes with the engine.
                self._keeper.stop()
                self._keeper.close()

    # -- pause: silence, while everything goes on, so that it comes back at once and separated ------------------

    def pause(self) -> None:
        """Be silent."""
        self._paused = True
        self._apply_volume()

    def toggle_pause(self) -> None:
        """Be silent, or be heard again."""
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

    # -- for the keeper -----------------------------------------------------------------------------------------

    def _begin(self, stream: TwoWayStream) -> None:
        """The first stream; or another one, of other devices or the same in another mood."""
        listen_s = CALIBRATION_S if self._capture is None else ANEW_S
        self._lost_counts = self._counts()
        self._capture = stream.capture
        self._guard.reset()
        self.distance.calibrate(stream, listen_s)
        self.distance.jump()

    def _counts(self) -> tuple[int, int]:
        """Overflows and bad samples so far, of all streams."""
        if self._capture is None:
            return 0, 0
        return self._lost_counts[0] + self._capture.overflows, self._lost_counts[1] + self._capture.bad_samples

    def _look(self) -> None:
        self._notices.extend(self.distance.watch())
        if self._paused or self._allow_feedback:
            self._guard.reset()
        elif self._guard.look(self.distance.samples, self._amplification):
            self._paused = True
            self._tell(FEEDBACK)
        self._apply_volume()

    def _refuse(self, given: Device, taken: Device) -> str | None:
        risk = None if self._allow_feedback else feedback_risk(given, taken)
        return None if risk is None else f"{risk}; looking for another device"

    def _tell(self, line: str) -> None:
        self._notices.append(f"{line} (at {self.shared.mixture.end / SAMPLE_RATE:.1f} s)")

    # -- what is going on ---------------------------------------------------------------------------------------

    def latency(self) -> Latency:
        """The three parts of now, see `Distance.latency`."""
        return self.distance.latency()

    @property
    def notices(self) -> Notices:
        """What has happened to devices and latency; the status has the last hundred, and those of the engine."""
        return self._notices

    def status(self) -> PlayerStatus:
        """A snapshot. When the engine has given up, `messages` say why; the sound goes on dry."""
        head = self.shared.callback.read()
        overflows, bad_samples = self._counts()
        recorder = self._recorder
        failed = recorder.failure if recorder is not None else None
        return self._snapshot(
            head,
            position_s=head.position / SAMPLE_RATE,
            length_s=None,
            playing=not self._paused,
            ended=False,
            latency=self.latency(),
            messages=tuple(text for text in (self.engine.failure, failed) if text is not None),
            notices=(*self.engine.notices, *self._notices),
            live=LiveStatus(
                overflows=overflows,
                bad_samples=bad_samples,
                rejumps=max(self.distance.jumps - 1, 0),
                device_measured=bool(self.distance.passages_s),
                recorded_s=recorder.seconds if recorder is not None else 0.0,
                recording_gaps=recorder.gaps if recorder is not None else 0,
            ),
        )
