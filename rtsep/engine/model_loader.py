"""Loads the model beside the instant network, which plays meanwhile: importing PyTorch alone takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rtsep.engine.handover import Handover
from rtsep.engine.worker_loop import WorkerLoop
from rtsep.errors import DeviceLost
from rtsep.separation.backends.stepper import FrameStepper, warm_up
from rtsep.system.guarded_thread import guarded_thread

SWITCH_S = 0.0005
"""How long another thread may hold the interpreter while a model is loaded; Python's own 5 ms, a hundred times a step,
would delay the sound after a jump."""


class ModelLoader:
    """Loads one model in a thread, and offers it to the worker loop.

    Args:
        load: returns the model; it is called in the thread.
        chunks: the chunk sizes of its steps.
    """

    def __init__(self, load: Callable[[], FrameStepper], chunks: Sequence[int]) -> None:
        self._load, self._chunks = load, chunks
        self._loaded: tuple[FrameStepper, Handover] | None = None
        self._lost: DeviceLost | None = None
        self._error = ""
        self._usual_switch_s = sys.getswitchinterval()
        self._thread = guarded_thread(self._run, "rtsep-model", "the model", self._fail)

    def start(self) -> None:
        """Load in the background from now on; once started, does nothing."""
        if self._thread.ident is None:
            sys.setswitchinterval(SWITCH_S)
            self._thread.start()

    def finish(self, worker_loop: WorkerLoop) -> dict[str, Any] | None:
        """Once the model is loaded, offer it and return the message for the player; until then None.

        Raises DeviceLost if the CUDA device has failed.
        """
        if self._thread.ident is None or self._thread.is_alive():
            return None
        sys.setswitchinterval(self._usual_switch_s)
        if self._lost is not None:
            raise self._lost
        if self._loaded is None:
            worker_loop.offer_nothing()
            return {"model_error": self._error}
        worker_loop.offer(*self._loaded)
        return {"ready": about(self._loaded[0])}

    def _run(self) -> None:
        try:
            model = self._load()
            warm_up(model, self._chunks)
            self._loaded = model, Handover(model)
        except DeviceLost as error:
            self._lost = error

    def _fail(self, reason: str) -> None:
        self._error = reason


def about(stepper: FrameStepper) -> dict[str, Any]:
    """The message to the player about the model."""
    return {"compute": stepper.compute, "lookahead_frames": stepper.lookahead_frames}
