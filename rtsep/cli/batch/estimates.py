"""How long a batch will take: for each song, and in all."""

from __future__ import annotations

import json as json_format
from dataclasses import replace

from rtsep.batch.outcome import Outcomes, Written
from rtsep.cli.output.progress_line import duration
from rtsep.ui.console import put, say
from rtsep.ui.status_line import clock


def with_estimates(outcomes: Outcomes, jobs: int, json: bool) -> Outcomes:
    """Planned outcomes with a line for each, and one for all of them at the end, or with `json` an event.

    Args:
        jobs: songs that will be separated at a time.
    """
    songs = unknown = 0
    total_s = estimate_s = 0.0
    for task, outcome in outcomes:
        if isinstance(outcome, Written) and outcome.event == "planned":
            songs += 1
            seconds, takes_s = outcome.entry["seconds"], outcome.entry["estimate_s"]
            if seconds is None:
                unknown += not task.is_copied
            else:
                total_s, estimate_s = total_s + seconds, estimate_s + takes_s
                note = f"{task.song}: {clock(seconds)} of sound, about {duration(takes_s)}"
                outcome = replace(outcome, notes=[] if json else [note])
        yield task, outcome
    estimate_s /= min(jobs, songs) or 1
    if json:
        all_s = {"seconds": round(total_s, 3), "estimate_s": round(estimate_s, 1)}
        put(json_format.dumps({"event": "estimate", "songs": songs, "songs_of_unknown_length": unknown, **all_s}))
    elif songs:
        more = f", and {unknown} of unknown length" if unknown else ""
        at_a_time = f", {jobs} songs at a time" if jobs > 1 else ""
        say(f"{songs} songs to do: {clock(total_s)} of sound, about {duration(estimate_s)}{at_a_time}{more}")
