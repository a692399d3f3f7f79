"""The network's step in several runtimes (see benches.runtimes): `python runtimes.py BUNDLE SONG FRAMES CHUNK...`

Runs in an environment of its own, with rtsep on its path.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from rtsep.bundle import Bundle, find_bundle
from rtsep.nn.contract import State, StreamingNetwork
from rtsep.recipe import Stft
from rtsep.separation.backends.choose import load_stepper

WARM_UP = 5
REFERENCE = "PyTorch fp32"
Step = Callable[[np.ndarray], np.ndarray]
"""Magnitudes (C, F, K) to masks (S, C, F + 1, K)."""


def rebuilt(state: State, tensors: Iterator[Tensor]) -> State:
    """The same tree with other tensors."""
    changed: dict[str, object] = {}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = next(tensors)
        elif isinstance(value, State):
            changed[field.name] = rebuilt(value, tensors)
        elif isinstance(value, list):
            changed[field.name] = [rebuilt(item, tensors) if isinstance(item, State) else item for item in value]
    return dataclasses.replace(state, **changed)


class ExplicitStep(nn.Module):
    """A step that gives its state back instead of writing it in place."""

    def __init__(self, network: StreamingNetwork, chunk: int) -> None:
        super().__init__()
        self.network = network
        self.state = network.init_state(1, chunk)

    def forward(self, magnitudes: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        state = rebuilt(self.state, iter([tensor.clone() for tensor in before]))
        masks = self.network.step(magnitudes, state)
        return (masks, *state.tensors())


def compiled(bundle: Bundle, chunk: int) -> Step:
    return load_stepper(bundle, "cpu", chunk).step


def eager(bundle: Bundle, chunk: int, dtype: torch.dtype) -> Step:
    network = bundle.load_network().eval().requires_grad_(False).to(dtype)
    state = network.init_state(1, chunk)

    def step(magnitudes: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network.step(torch.from_numpy(magnitudes)[None].to(dtype), state)[0].float().numpy()

    return step


def exported(bundle: Bundle, chunk: int, folder: Path) -> Path:
    """The step as ONNX, with the state explicit."""
    module = ExplicitStep(bundle.load_network().eval().requires_grad_(False), chunk)
    before = [tensor.clone() for tensor in module.state.tensors()]
    path = folder / f"step{chunk}.onnx"
    magnitudes = torch.rand(1, module.network.channels, module.network.bins, chunk)
    names = [f"state{number}" for number in range(len(before))]
    with torch.no_grad():
        torch.onnx.export(
            module,
            (magnitudes, *before),
            path,
            input_names=["magnitudes", *names],
            output_names=["masks", *(f"{name}_after" for name in names)],
            dynamo=True,
        )
    return path


def zeros(bundle: Bundle, chunk: int) -> list[np.ndarray]:
    return [tensor.numpy().copy() for tensor in bundle.load_network().init_state(1, chunk).tensors()]


def onnx_runtime(path: Path, state: list[np.ndarray]) -> Step:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def step(magnitudes: np.ndarray) -> np.ndarray:
        masks, *state[:] = session.run(None, dict(zip(names, [magnitudes[None], *state], strict=True)))
        return masks[0]

    return step


def with_int8_weights(path: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    smaller = path.with_suffix(".int8.onnx")
    quantize_dynamic(path, smaller, weight_type=QuantType.QInt8)
    return smaller


def open_vino(path: Path, state: list[np.ndarray], precision: str) -> Step:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    request = openvino.compile_model(openvino.Core().read_model(path), "CPU", settings).create_infer_request()

    def step(magnitudes: np.ndarray) -> np.ndarray:
        result = request.infer([magnitudes[None], *state], share_inputs=True)
        masks, *state[:] = (np.array(result[place]) for place in range(len(result)))
        return masks[0]

    return step


def ways(bundle: Bundle, chunk: int, folder: Path, problems: list[str], trial: np.ndarray) -> dict[str, Step]:
    """All that can be made here and take a step; the state of each has seen `trial`, (C, F, K), once."""
    made: dict[str, Step] = {}

    def offer(name: str, make: Callable[[], Step]) -> None:
        try:
            step = make()
            step(trial)
            made[name] = step
        except Exception as error:  # theirs, of every kind
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            problems.append(f"{name}, K = {chunk}: {line[:200]}")

    offer(REFERENCE, lambda: eager(bundle, chunk, torch.float32))
    offer("rtsep compiled", lambda: compiled(bundle, chunk))
    offer("PyTorch bf16", lambda: eager(bundle, chunk, torch.bfloat16))
    try:
        path = exported(bundle, chunk, folder)
    except Exception as error:
        problems.append(f"no ONNX, K = {chunk}: {str(error).strip().splitlines()[0][:200]}")
        return made
    offer("ONNX Runtime fp32", lambda: onnx_runtime(path, zeros(bundle, chunk)))
    offer("ONNX Runtime int8", lambda: onnx_runtime(with_int8_weights(path), zeros(bundle, chunk)))
    offer("OpenVINO fp32", lambda: open_vino(path, zeros(bundle, chunk), "f32"))
    offer("OpenVINO bf16", lambda: open_vino(path, zeros(bundle, chunk), "bf16"))
    return made


def spectrum_of(song: Path, frames: int, stft: Stft) -> np.ndarray:
    """(C, F, frames), complex, from the middle of the song."""
    info = soundfile.info(song)
    samples = (frames - 1) * stft.hop + stft.n_fft
    sound = soundfile.read(song, samples, max(0, (info.frames - samples) // 2), dtype="float32")[0].T
    window = torch.hann_window(stft.n_fft)
    spectrum = torch.stft(torch.from_numpy(sound.copy()), stft.n_fft, stft.hop, window=window, center=False,
                          return_complex=True)  # fmt: skip
    return spectrum.numpy()[:, : stft.bins]


def stems_of(song: Path, stems: Sequence[str], frames: int, stft: Stft) -> np.ndarray | None:
    """(S, C, F, frames), complex: the true stems, from the files beside the song; None where one is missing."""
    mixture = spectrum_of(song, frames, stft)
    found = {
        stem: spectrum_of(path, frames, stft) for stem in stems if (path := song.with_name(f"{stem}.flac")).exists()
    }
    if "instrumental" in stems and "vocals" in found:
        found.setdefault("instrumental", mixture - found["vocals"])
    return np.stack([found[stem] for stem in stems]) if len(found) == len(stems) else None


def decibels(power: float, off: float) -> float | None:
    """Signal to difference; None where there is no difference, or no number."""
    return round(10 * float(np.log10(power / off)), 1) if off and np.isfinite(off) else None


def cost_db(off: np.ndarray, least: np.ndarray) -> float | None:
    """By how much the SDR falls, mean of the stems, when the error (S,) is `off` instead of `least`."""
    if not np.all(np.isfinite(off)) or not np.all(off > 0) or not np.all(least > 0):
        return None
    return round(float(np.mean(10 * np.log10(off / least))), 3)


def measured(
    steps: dict[str, Step], spectrum: np.ndarray, truth: np.ndarray | None, chunk: int, problems: list[str]
) -> list[dict[str, object]]:
    if REFERENCE not in steps:
        return []  # why, the problems tell
    times_ms: dict[str, list[float]] = {name: [] for name in steps}
    power = dict.fromkeys(steps, 0.0)
    off = dict.fromkeys(steps, 0.0)
    errors = {name: np.zeros(0 if truth is None else len(truth)) for name in steps}
    order = list(steps)
    for number, first in enumerate(range(0, spectrum.shape[2] - chunk + 1, chunk)):
        mixture = spectrum[:, :, first : first + chunk]
        frames = np.ascontiguousarray(np.abs(mixture))
        masks: dict[str, np.ndarray] = {}
        for name in order:
            began = time.perf_counter()
            made = steps[name](frames)
            spent_ms = 1000 * (time.perf_counter() - began) / chunk
            if number >= WARM_UP:
                times_ms[name].append(spent_ms)
            masks[name] = made[:, :, :-1].copy()
        for name in steps:
            masked = masks[REFERENCE] * frames
            power[name] += float(np.sum(np.square(masked, dtype=np.float64)))
            off[name] += float(np.sum(np.square(masks[name] * frames - masked, dtype=np.float64)))
            if truth is not None:
                error = np.abs(masks[name] * mixture - truth[..., first : first + chunk])
                errors[name] += np.sum(np.square(error, dtype=np.float64), axis=(1, 2, 3))
        order.append(order.pop(0))
    problems += [f"{name}, K = {chunk}: its masks are NaN" for name in steps if not np.isfinite(off[name])]
    return [
        {
            "chunk": chunk,
            "way": name,
            "times_ms": times_ms[name],
            "parity_db": decibels(power[name], off[name]),
            "sdr_cost_db": None if truth is None else cost_db(errors[name], errors[REFERENCE]),
        }
        for name in steps
    ]


def installed(*names: str) -> dict[str, str]:
    """Versions of those that are there."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def main() -> None:
    torch.set_num_threads(1)
    bundle, song, frames = find_bundle(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    stft = bundle.recipe.stft
    spectrum = spectrum_of(song, frames, stft)
    truth = stems_of(song, bundle.recipe.stems, frames, stft)
    rows: list[dict[str, object]] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for chunk in map(int, sys.argv[4:]):
            trial = np.ascontiguousarray(np.abs(spectrum[:, :, :chunk]))
            steps = ways(bundle, chunk, Path(folder), problems, trial)
            rows += measured(steps, spectrum, truth, chunk, problems)
    print(json.dumps({"rows": rows, "problems": problems, "versions": installed("onnxruntime", "openvino")}))


if __name__ == "__main__":
    main()
