"""Spleeter with 2 stems; downloads its weights first. Runs in the peer's own environment: `python spleeter.py WAV`."""

import importlib.metadata
import json
import sys
import time

import soundfile
import tensorflow
from spleeter.separator import Separator

tensorflow.config.threading.set_intra_op_parallelism_threads(1)
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
sound = soundfile.read(sys.argv[1], dtype="float32")[0]
separator = Separator("spleeter:2stems", multiprocess=False)
separator.separate(sound[:44100])  # builds the graph
began = time.perf_counter()
separator.separate(sound)
spent_s = time.perf_counter() - began
row = {"name": "Spleeter, whole", "step_samples": len(sound), "times_s": [spent_s], "samples": len(sound)}
print(json.dumps({"version": importlib.metadata.version("spleeter"), "rows": [row]}))
