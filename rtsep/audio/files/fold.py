"""From the channels of a file to stereo: mono is doubled, surround is folded down by ITU-R BS.775."""

import numpy as np
from numpy.typing import NDArray

_HALF_POWER = 0.70710678  # −3 dB, the weight of the centre and of the surround channels
_L, _R = (1.0, 0.0), (0.0, 1.0)
_C = (_HALF_POWER, _HALF_POWER)
_LS, _RS = (_HALF_POWER, 0.0), (0.0, _HALF_POWER)
_BACK = (0.5, 0.5)
_LFE = (0.0, 0.0)  # the standard leaves the effects channel out

# Weights (left, right) of each channel, in the order of WAV, FLAC and AIFF files.
_WAVE_ORDER = {
    1: (_L[:1] * 2,),
    2: (_L, _R),
    3: (_L, _R, _C),
    4: (_L, _R, _LS, _RS),
    5: (_L, _R, _C, _LS, _RS),
    6: (_L, _R, _C, _LFE, _LS, _RS),
    7: (_L, _R, _C, _LFE, _BACK, _LS, _RS),
    8: (_L, _R, _C, _LFE, _LS, _RS, _LS, _RS),
}
# Ogg (Vorbis and Opus alike) has an order of its own, which libsndfile hands on as it is.
_OGG_ORDER = _WAVE_ORDER | {
    3: (_L, _C, _R),
    5: (_L, _C, _R, _LS, _RS),
    6: (_L, _C, _R, _LS, _RS, _LFE),
    7: (_L, _C, _R, _LS, _RS, _BACK, _LFE),
    8: (_L, _C, _R, _LS, _RS, _LS, _RS, _LFE),
}
_NAMES = {
    3: "3 channels", 4: "quad", 5: "5 channels", 6: "5.1", 7: "6.1", 8: "7.1",
}  # fmt: skip
MAX_CHANNELS = 8


def fold_weights(channels: int, ogg_order: bool = False) -> NDArray[np.float32]:
    """Weights (channels, 2) that fold a file of `channels` channels to stereo.

    A stereo file's weights are the identity, a mono file's are one for both sides. Surround is not scaled
    down: samples are float32 here and may lie above full scale.
    Raises ValueError for more than 8 channels, which have no agreed places.
    """
    table = _OGG_ORDER if ogg_order else _WAVE_ORDER
    if channels not in table:
        raise ValueError(f"1 to {MAX_CHANNELS} channels can be folded to stereo, got {channels}")
    return np.array(table[channels], dtype=np.float32)


def layout_name(channels: int) -> str:
    """How people call that many channels, for one line to the user: 6 is "5.1"."""
    return _NAMES.get(channels, f"{channels} channels")
