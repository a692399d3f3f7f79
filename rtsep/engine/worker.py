"""The separation worker: a process of its own, `python -m rtsep.engine.worker`; `rtsep.engine.host` starts it.

It is told what to do in one JSON line on stdin and answers in JSON lines on stdout, {"ready": ...},
{"error": ...} or {"lost": ...}. It touches no sound device and imports no user interface. It ends when stdin does, so
it cannot outlive the player; the rings it shares with the player have no name and go with the last of the two.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any, NoReturn

from rtsep.errors import DeviceLost, RtsepError


def main() -> None:
    """Read the configuration, then separate until stdin ends."""
    answers = _claim_stdout()
    config = _read_line()
    # From here on, whatever is going on, imports and long kernels included: no parent, no worker.
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _separate(config, answers)
    except DeviceLost as error:
        # Only another process can go on: the host starts one that computes on the CPU.
        _answer(answers, {"lost": str(error)})
        os._exit(1)


def _separate(config: dict[str, Any], answers: int) -> NoReturn:
    try:
        pump, about = _prepare(config)
    except DeviceLost:
        raise
    except Exception as error:
        known = isinstance(error, RtsepError)
        text = str(error) if known else f"the separation worker failed: {type(error).__name__}: {error}"
        _answer(answers, {"error": text})
        if known:
            os._exit(1)
        raise
    _answer(answers, {"ready": about})
    while True:
        pause_s = pump.turn()
        if pause_s > 0:
            time.sleep(pause_s)


def _prepare(config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Everything that takes long, before the first sound is asked for: imports, weights, FFT plans, first steps."""
    from rtsep.bundle import find_bundle
    from rtsep.dsp.deck import Deck, DeckLayout
    from rtsep.dsp.priority import keep_in_memory, raise_worker
    from rtsep.dsp.words import WorkerState
    from rtsep.engine.compute import Stepper, choose_compute
    from rtsep.engine.options import MAX_CHUNK, check_context, check_lookahead
    from rtsep.engine.processor import Processor
    from rtsep.engine.pump import Pump

    layout = DeckLayout.from_json(config["layout"])
    deck = Deck.attach(layout, config["fd"])
    deck.worker.state = WorkerState.STARTING
    device = choose_compute(config["compute"])
    bundle = find_bundle(config["model"])
    network = bundle.load_network(live=True)
    if tuple(network.stems) != layout.stems:
        raise ValueError(f"the network's stems {network.stems} are not the recipe's {layout.stems}")
    check_context(network.context_frames)
    check_lookahead(network.lookahead_frames)
    stepper = Stepper(network, device, MAX_CHUNK)
    pump = Pump(deck, Processor(stepper, config["latency"], n_fft=bundle.recipe.stft.n_fft), config["chunk"])
    stepper.warm_up(pump.chunks)
    keep_in_memory()
    raise_worker()  # not before: what takes long at the start is nobody's hurry
    pump.calibrate()
    return pump, {
        "compute": str(device),
        "context_frames": network.context_frames,
        "lookahead_frames": network.lookahead_frames,
    }


def _claim_stdout() -> int:
    """A descriptor for our answers; what libraries print to stdout goes to stderr instead."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _answer(descriptor: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: stdin ends too
        os.write(descriptor, (json.dumps(message) + "\n").encode())


def _read_line() -> dict[str, Any]:
    """The configuration. Unbuffered, so that nothing of stdin stays behind in a Python object."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            os._exit(0)
        line += data
    return json.loads(line)


def _end_with_stdin() -> NoReturn:
    while os.read(0, 4096):
        pass
    # Not sys.exit: another thread may be in the middle of a step, and there is nothing to save.
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.engine.worker is started by rtsep itself and takes no arguments")
    main()
