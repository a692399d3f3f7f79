"""The separation worker: a process of its own, `python -m rtsep.engine.worker`, started by `rtsep.engine.live_engine`.

It reads its configuration from stdin, one JSON line, and writes JSON lines to stdout: {"ready": ...}, again when a
model is loaded that the instant network played for, {"model_error": ...} when it can't be; {"error": ...} or
{"device_error": ...}. It uses no sound device and no user interface. It ends when stdin closes, so it can't outlive
the player; the rings that it shares with the player have no name and go with the last of the two.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from rtsep.errors import DeviceLost, RtsepError
from rtsep.system.child import claim_stdout, read_config, send_message
from rtsep.system.guarded_thread import describe

if TYPE_CHECKING:
    from rtsep.engine.model_loader import ModelLoader
    from rtsep.engine.worker_loop import WorkerLoop


def main() -> None:
    """Read the configuration, then separate until stdin ends."""
    answers = claim_stdout()
    try:
        _separate(read_config(), answers)
    except DeviceLost as error:
        # This process can't use the device any more: the engine starts another one, on the CPU.
        send_message(answers, {"device_error": str(error)})
        os._exit(1)


def _separate(config: dict[str, Any], answers: int) -> NoReturn:
    try:
        worker_loop, loader, about = _prepare(config)
    except DeviceLost:
        raise
    except Exception as error:
        known = isinstance(error, RtsepError)
        text = str(error) if known else f"the separation worker failed: {describe(error)}"
        send_message(answers, {"error": text})
        if known:
            os._exit(1)
        raise
    send_message(answers, {"ready": about})
    while True:
        pause_s = worker_loop.turn()
        if loader is not None and pause_s > 0:
            if worker_loop.is_ahead:
                loader.start()
            if (found := loader.finish(worker_loop)) is not None:
                send_message(answers, found)
                loader = None
        if pause_s > 0:
            time.sleep(pause_s)


def _prepare(config: dict[str, Any]) -> tuple[WorkerLoop, ModelLoader | None, dict[str, Any]]:
    """Do what takes long before the first sound: imports, weights, FFT plans, first steps.

    Where there is an instant network, that is for its sound alone; the loader, which loads the model, is for later.
    """
    from rtsep.bundle import find_bundle
    from rtsep.engine.model_loader import ModelLoader, about
    from rtsep.engine.worker_loop import WorkerLoop
    from rtsep.live_settings import choose_live_setting
    from rtsep.separation.backends.choose import load_stepper
    from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, warm_up
    from rtsep.separation.options import check_context, check_lookahead
    from rtsep.separation.processor import Processor
    from rtsep.shared.state import SharedLayout, SharedState
    from rtsep.shared.status import WorkerState
    from rtsep.system.allocator import keep_freed_memory
    from rtsep.system.priority import lock_memory, raise_priority

    keep_freed_memory()
    layout = SharedLayout.from_json(config["layout"])
    shared = SharedState.attach(layout, config["fd"])
    shared.worker.state = WorkerState.STARTING
    bundle = find_bundle(config["model"])

    def load_model() -> FrameStepper:
        options = {key: config[key] for key in ("latency", "mask_extension")}
        stepper = load_stepper(bundle, config["compute"], MAX_CHUNK, live=True, **options)
        if tuple(stepper.stems) != layout.stems:
            raise ValueError(f"the network's stems {stepper.stems} are not the recipe's {layout.stems}")
        check_context(stepper.context_frames)
        check_lookahead(stepper.lookahead_frames)
        return stepper

    setting = choose_live_setting(bundle.recipe, config["latency"])
    has_instant = config["instant"] is not None
    if setting.window is not None:
        check_lookahead(setting.window.delay_frames)
    first = load_stepper(find_bundle(config["instant"]), "cpu", MAX_CHUNK) if has_instant else load_model()
    processor = Processor(first, setting.mode, n_fft=bundle.recipe.stft.n_fft)
    worker_loop = WorkerLoop(
        shared, processor, config["chunk"], awaits_better=config["awaits_better"], awaits_model=has_instant
    )
    warm_up(first, worker_loop.chunks)
    lock_memory()
    raise_priority()  # not before: loading is not urgent
    worker_loop.calibrate()
    loader = ModelLoader(load_model, worker_loop.chunks) if has_instant else None
    answer = about(first)
    if setting.window is not None:
        answer["lookahead_frames"] = setting.window.delay_frames
    return worker_loop, loader, answer


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.engine.worker is started by rtsep itself and takes no arguments")
    main()
