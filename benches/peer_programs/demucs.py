"""HT Demucs, random weights, its own segments. Runs in the peer's own environment: `python demucs.py WAV`."""

import importlib.metadata
import json
import sys
import time

import soundfile
import torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs

torch.set_num_threads(1)
sound = torch.from_numpy(soundfile.read(sys.argv[1], dtype="float32")[0].T.copy())[None]
network = HTDemucs(sources=["drums", "bass", "other", "vocals"]).eval()
began = time.perf_counter()
with torch.no_grad():
    apply_model(network, sound, shifts=0, split=True, overlap=0.25)
spent_s = time.perf_counter() - began
samples = sound.shape[-1]
row = {"name": "HT Demucs, whole", "step_samples": samples, "times_s": [spent_s], "samples": samples}
print(json.dumps({"version": importlib.metadata.version("demucs"), "rows": [row]}))
