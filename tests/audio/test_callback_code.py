"""The machine code of the audio callback: no allocation, no GIL, no Python, no exception, nothing called at all."""

import functools
import re
from typing import Any

import numpy as np
from numba import cfunc, types

from rtsep.audio.callback import _PA_STREAM_CALLBACK, _stream_callback
from rtsep.dsp.compiled import FLAGS

# What libc may be called for: moving and clearing memory. LLVM's own intrinsics become instructions or these.
HARMLESS = {"memcpy", "memset", "memmove"}
FORBIDDEN = re.compile(
    r"NRT_|malloc|calloc|realloc|\bfree\b|\bPy[A-Z_]|PyGILState|gil_|pthread|raise|pickle|excinfo_struct"
)


@functools.cache
def compiled() -> Any:
    """The callback compiled anew: numba does not let one look into code from its cache."""
    return cfunc(_PA_STREAM_CALLBACK, **FLAGS)(_stream_callback)


def test_nothing_outside_the_callback_is_called() -> None:
    module = compiled().inspect_llvm()
    declared = set(re.findall(r"^declare [^@]*@\"?([\w.]+)", module, re.MULTILINE))
    outside = {name for name in declared if not name.startswith("llvm.")} - HARMLESS
    assert outside == set()
    called = set(re.findall(r"(?:call|invoke) [^@\n]*@\"?([\w.$]+)", module))
    defined = set(re.findall(r"^define [^@]*@\"?([\w.$]+)", module, re.MULTILINE))
    assert {name for name in called if not name.startswith("llvm.")} - HARMLESS <= defined
    # No call through a pointer either: everything that runs is in this one module.
    assert re.findall(r"(?:call|invoke) [^@\n]*%[\w.]+\(", module) == []


def test_the_assembly_names_no_allocation_no_lock_and_no_python() -> None:
    assembly = compiled()._library.get_asm_str()
    code = [line for line in assembly.splitlines() if not line.lstrip().startswith((".", "#"))]
    assert len(code) > 500, "the callback's code is not here"
    assert [line for line in code if FORBIDDEN.search(line)] == []


def test_there_is_no_division_by_a_variable() -> None:
    # Integer division costs tens of cycles and traps on zero.
    module = compiled().inspect_llvm()
    divisions = re.findall(r"= (?:[su]div|[su]rem) .*", module)
    assert [line for line in divisions if not re.search(r", \d+$", line.split("!")[0].strip(" ,"))] == []


def test_fences_are_in_the_code() -> None:
    module = compiled().inspect_llvm()
    assert len(re.findall(r"fence seq_cst", module)) >= 4
    assert len(re.findall(r"load atomic i64", module)) >= 10
    assert len(re.findall(r"store atomic i64", module)) >= 10


def test_the_search_would_find_an_allocation() -> None:
    def allocating(count):
        return np.zeros(count).sum()

    module = cfunc(types.float64(types.int64), error_model="numpy")(allocating).inspect_llvm()
    assert FORBIDDEN.search(module)
