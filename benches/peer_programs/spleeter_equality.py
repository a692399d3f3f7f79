"""Spleeter's own graphs with random and with published weights: their checkpoints, and their outputs for an audio file.

Runs in the peer's own environment: `python spleeter_equality.py WAV FOLDER THREADS [CHECKPOINT]`. Writes
FOLDER/spleeter-Nstems with TensorFlow's files and `outputs.npz`; with the folder of the published two-stem checkpoint,
FOLDER/spleeter-2stems-published too.
"""

import importlib.metadata
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import tensorflow as tf
from spleeter.model import EstimatorSpecBuilder, InputProviderFactory
from spleeter.utils.configuration import load_configuration

FIRST_GAIN = 0.02
"""Of the first kernels, so that raw magnitudes do not drive every mask to 0 or 1."""


def random_value(name: str, shape: list[int], random: np.random.Generator) -> np.ndarray:
    """A value for the variable of that name, such that every variable matters: none is zero or one."""
    layer, _, kind = name.rpartition("/")
    if kind == "kernel":
        into = shape[3] / 4 if "transpose" in layer else shape[2]
        first = re.fullmatch(r"conv2d(?:_(\d+))?", layer)
        gain = FIRST_GAIN if first and int(first[1] or 0) % 7 == 0 else 1.0
        return gain * random.standard_normal(shape) / np.sqrt(shape[0] * shape[1] * into)
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape)
    return 0.1 * random.standard_normal(shape)


def run(stems: int, sound: np.ndarray, folder: Path, threads: int, checkpoint: Path | None = None) -> dict:
    """Save the checkpoint and the outputs of one system, with the weights of `checkpoint` or random ones."""
    params = load_configuration(f"spleeter:{stems}stems")
    with tf.Graph().as_default():
        features = InputProviderFactory.get(params).get_input_dict_placeholders()
        plain = EstimatorSpecBuilder(features, params)
        asked = {"masks": plain.masks, "stft": plain.stft_feature, "waves": plain.outputs}
        filtering = EstimatorSpecBuilder(features, params | {"MWF": True})
        filtering._model_outputs = plain.model_outputs
        wiener = filtering.outputs
        tf.compat.v1.train.get_or_create_global_step()
        variables = tf.compat.v1.global_variables()
        random = np.random.default_rng(stems)
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1)
        with tf.compat.v1.Session(config=config) as session:
            if checkpoint is None:
                values = {
                    variable.initializer.inputs[1]: random_value(variable.op.name, variable.shape.as_list(), random)
                    for variable in variables
                    if variable.dtype.base_dtype == tf.float32
                }
                session.run([variable.initializer for variable in variables], values)
            else:
                tf.compat.v1.train.Saver().restore(session, str(checkpoint / "model"))
            folder.mkdir(parents=True, exist_ok=True)
            tf.compat.v1.train.Saver().save(session, str(folder / "model"), write_meta_graph=False)
            feed = {features["waveform"]: sound, features["audio_id"]: "sound"}
            found = session.run(asked, feed)
            waves = {name: wave for name, wave in plain.outputs.items() if name != "audio_id"}
            spent_s = []
            for _ in range(3):
                began = time.perf_counter()
                session.run(waves, feed)
                spent_s.append(time.perf_counter() - began)
            filtered = session.run(wiener, feed)
    names = params["instrument_list"]
    np.savez(
        folder / "outputs.npz",
        stft=found["stft"],
        **{
            kind: np.stack([values[name] for name in names])
            for kind, values in (("masks", found["masks"]), ("waves", found["waves"]), ("wiener", filtered))
        },
    )
    return {"name": folder.name, "variables": len(variables), "seconds": min(spent_s)}


def main() -> None:
    wav, out, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    sound = soundfile.read(wav, dtype="float32")[0]
    systems = [run(stems, sound, out / f"spleeter-{stems}stems", threads) for stems in (2, 4, 5)]
    if len(sys.argv) > 4:
        systems.append(run(2, sound, out / "spleeter-2stems-published", threads, Path(sys.argv[4])))
    versions = {package: importlib.metadata.version(package) for package in ("spleeter", "tensorflow", "norbert")}
    print(json.dumps({"versions": versions, "systems": systems}))


main()
