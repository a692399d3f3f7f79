"""The order of memory accesses on ARM, which reorders what x86 leaves in order: each kernel of the protocols.

The patterns are those of the protocols' descriptions, in `rtsep.shared.rings` and `rtsep.shared.seek_mailbox`: A is a
load-acquire, R a store-release, F a fence, s a plain store.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from numba import njit

from rtsep.shared import rings, seek_mailbox, status, stream_clock
from rtsep.shared.compiled import FLAGS
from tests.aarch64 import accesses, assembly


def _module(kernel: Any) -> str:
    """The LLVM IR of a kernel, compiled anew: numba doesn't show that of code from its cache."""
    compiled: Any = njit(kernel.signatures[0], **FLAGS)(kernel.py_func)
    return compiled.inspect_llvm(compiled.signatures[0])


def _order(module: str, letters: str) -> str:
    """The accesses of a module's first function, as far as they are among `letters`."""
    code = assembly(module)
    body = code[re.search(r"^_ZN\S*:$", code, re.MULTILINE).end() : code.index(".Lfunc_end0")]  # type: ignore[union-attr]
    return "".join(letter for letter in accesses(body) if letter in letters)


@pytest.mark.parametrize(
    ("kernel", "order"),
    [
        (rings._restart, "RR F RRRRR"),  # no epoch, generation | everything else, epoch
        (rings.append, "s* RF s+ R s*"),  # begin | samples | end
        (rings._prepend, "s+ R s*"),  # samples | begin
        (rings.copy_if_valid, "AAAA F AAA"),  # generation, epoch, begin, end | samples | epoch, generation, begin
        (rings.eof_of, "AAA F AA"),
        (rings._copy_header, "AAAAAA F AA"),
        (seek_mailbox._post, "R F RRRR R"),  # odd | the request | even
        (seek_mailbox.collect, "A AAAA F A"),
        (status._copy_line, "A A+ F A"),
        (stream_clock.stamp, "R F RRR R"),
        (stream_clock.position_at, "A AA F A"),
    ],
    ids=lambda value: value.py_func.__name__ if hasattr(value, "py_func") else "",
)
def test_accesses_are_ordered_on_arm(kernel: Any, order: str) -> None:
    letters = "".join(sorted({*order} & {*"ARFs"}))
    module, pattern = _module(kernel), order.replace(" ", "")
    assert re.fullmatch(pattern, _order(module, letters))
    unordered = re.sub(
        r"^ *fence seq_cst$", "", re.sub(r" atomic (.*) (acquire|release),", r" \1,", module), flags=re.M
    )
    assert not re.fullmatch(pattern, _order(unordered, letters)), "the test would not notice"
