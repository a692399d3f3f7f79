"""HS-TasNet, full and small, streamed hop by hop. Runs in the peer's own environment: `python hs_tasnet.py WAV`."""

import importlib.metadata
import json
import sys
import time
from unittest.mock import MagicMock

import soundfile
import torch

# Its file and data set readers, which are not measured and cannot be imported everywhere.
for name in ("torchaudio", "torchaudio.transforms", "torchaudio.functional", "torchcodec.encoders", "musdb"):
    sys.modules[name] = MagicMock()

from hs_tasnet import HSTasNet  # noqa: E402

torch.set_num_threads(1)
sound = torch.from_numpy(soundfile.read(sys.argv[1], dtype="float32")[0].T.copy())
rows = []
for name, small in (("HS-TasNet", False), ("HS-TasNet small", True)):
    network = HSTasNet(small=small).eval()
    step = network.overlap_len
    stream = network.init_stateful_transform_fn(auto_convert_to_stereo=False)
    times_s = []
    for at in range(0, sound.shape[1] - step + 1, step):
        began = time.perf_counter()
        stream(sound[:, at : at + step])
        times_s.append(time.perf_counter() - began)
    warm = times_s[10:]
    rows.append({"name": name, "step_samples": step, "times_s": warm, "samples": step * len(warm)})
print(json.dumps({"version": importlib.metadata.version("hs-tasnet"), "rows": rows}))
