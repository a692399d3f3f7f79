"""Loading a model: `rtsep.load`."""

from __future__ import annotations

import os
from pathlib import Path

from rtsep.dsp.wiener import MultichannelWiener
from rtsep.errors import UsageError, require_torch
from rtsep.live_settings import WORDS, check_live_latency, choose_live_setting
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.default_model import default_model
from rtsep.separation.options import check_chunk, check_mask_extension, check_threads, check_tta, find_playable
from rtsep.separation.processor import Processor
from rtsep.separation.separator import Separator
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.system.priority import use_passive_waiting


def load(
    model: str | Path | None = None,
    *,
    chunk: int = MAX_CHUNK,
    device: str = "auto",
    latency: str | int = "standard",
    wiener: bool = False,
    tta: str | None = None,
    merge_artifacts: bool = False,
    mask_extension: str | None = None,
    threads: int | None = None,
) -> Separator:
    """Load a model, ready to separate a stream.

    Args:
        model: name or folder of a model. None: the best at hand that this machine plays, see
            `rtsep.separation.default_model`; with another `chunk` or `latency` than those for files, the best of those
            that stream with so little delay.
        chunk: frames the network takes in one step, 1 to 32: 1 has the lowest latency, 32 is fastest. A model of whole
            segments (HT Demucs) or `tta` does not use it.
        device: auto, cpu, cuda or cuda:N.
        latency: of the synthesis: standard (4096 samples), medium (3072) or low (2048, slightly lower quality). A
            number of milliseconds: the model's live setting within them, as `rtsep live --latency` chooses it.
        wiener: filter the stems by their place between the channels as well (multichannel Wiener filter). It uses what
            it has heard so far, unless `Separator.learn` gives it the whole song first. The stems need not sum to the
            mixture then.
        tta: test-time augmentation for networks of fixed windows, which needs the whole song: the mean with windows
            that begin elsewhere, shifted (half of what each keeps) or sliding (half a window, both ways).
        merge_artifacts: for vocal removers, with the whole song: where the vocals pause for long, the instrumental is
            the mixture itself.
        mask_extension: for Spleeter's networks, whose masks end at 11 kHz (16.5 kHz for the 16 kHz systems): how they
            continue above. octave, the default of the recipes: by the mean of the top octave, so that the stems sum to
            the mixture; average: by the mean of all of the mask; zeros: by nothing, which gives Spleeter's own result.
            None: as the recipe says.
        threads: CPU threads that PyTorch uses while it computes. None: one for a network of frames, all for one of
            windows or segments. PyTorch's own setting is not changed. A compiled network always uses one.

    Raises RtsepError if the model or device does not exist or cannot be used, MissingPackage (an RtsepError) if the
    model needs PyTorch and it is not installed, UsageError (a ValueError too) for an impossible argument.
    """
    check_chunk(chunk)
    latency = check_live_latency(str(latency))
    passes = check_tta(tta) or "plain"
    check_mask_extension(mask_extension)
    check_threads(threads)
    if wiener and (tta or merge_artifacts):
        raise UsageError("wiener filters a stream; tta and merge_artifacts need the whole song at once: choose one")
    use_passive_waiting()
    if model is None:
        model = default_model(device, None if (chunk, latency) == (MAX_CHUNK, "standard") else latency)
    bundle = find_playable(model)
    recipe = bundle.recipe
    if (tta or merge_artifacts) and recipe.window is None:
        raise UsageError(f"tta and merge_artifacts need a network of fixed windows, and {bundle.name} has none")
    if (tta or merge_artifacts) and recipe.average is not None:
        raise UsageError(f"tta and merge_artifacts need one network, and {bundle.name} averages two")
    if wiener and recipe.segments is not None:
        raise UsageError(f"wiener: a Wiener filter needs masks, and {bundle.name} makes waveforms")
    shares_work = recipe.segments is not None or recipe.window is not None
    threads = threads or ((os.cpu_count() or 1) if shares_work else 1)
    if recipe.segments is not None:
        if mask_extension is not None:
            raise bundle.no_mask_extension()
        require_torch(bundle.name)
        from rtsep.separation.segment_separator import load_segments

        return load_segments(bundle, device, threads)
    if tta or merge_artifacts:
        require_torch(bundle.name)
        from rtsep.separation.song_separator import load_whole_song

        return load_whole_song(bundle, device, threads, passes, merge_artifacts, mask_extension)
    is_live = latency not in WORDS
    mode = choose_live_setting(recipe, latency).mode
    stepper = load_stepper(
        bundle,
        device,
        chunk,
        live=is_live,
        latency=latency,
        own_shares=wiener,
        mask_extension=mask_extension,
        threads=threads,
    )
    n_fft = recipe.stft.n_fft
    wiener_filter = MultichannelWiener(len(stepper.stems), n_fft // 2 + 1) if wiener else None
    return StreamSeparator(Processor(stepper, mode, wiener_filter, n_fft), chunk)
