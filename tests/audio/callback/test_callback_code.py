"""The machine code of the audio callbacks: no allocation, no GIL, no Python, no exception, nothing called at all."""

import functools
import re
from typing import Any

import numpy as np
import pytest
from numba import cfunc, types

from rtsep.audio.callback.capture import _capture_callback, _duplex_callback
from rtsep.audio.callback.playback import PA_STREAM_CALLBACK, _stream_callback
from rtsep.shared.compiled import FLAGS
from tests.aarch64 import accesses, assembly

# What libc may be called for: moving and clearing memory. LLVM's own intrinsics become instructions or these.
HARMLESS = {"memcpy", "memset", "memmove"}
FORBIDDEN = re.compile(
    r"NRT_|malloc|calloc|realloc|\bfree\b|\bPy[A-Z_]|PyGILState|gil_|pthread|raise|pickle|excinfo_struct"
)


CALLBACKS = {"output": _stream_callback, "capture": _capture_callback, "duplex": _duplex_callback}
every_callback = pytest.mark.parametrize("name", CALLBACKS)


@functools.cache
def compiled(name: str) -> Any:
    """A callback compiled anew: numba does not let one look into code from its cache."""
    return cfunc(PA_STREAM_CALLBACK, **FLAGS)(CALLBACKS[name])


@every_callback
def test_nothing_outside_the_callback_is_called(name: str) -> None:
    module = compiled(name).inspect_llvm()
    declared = set(re.findall(r"^declare [^@]*@\"?([\w.]+)", module, re.MULTILINE))
    outside = {name for name in declared if not name.startswith("llvm.")} - HARMLESS
    assert outside == set()
    called = set(re.findall(r"(?:call|invoke) [^@\n]*@\"?([\w.$]+)", module))
    defined = set(re.findall(r"^define [^@]*@\"?([\w.$]+)", module, re.MULTILINE))
    assert {name for name in called if not name.startswith("llvm.")} - HARMLESS <= defined
    # No call through a pointer either: everything that runs is in this one module.
    assert re.findall(r"(?:call|invoke) [^@\n]*%[\w.]+\(", module) == []


@every_callback
def test_the_assembly_names_no_allocation_no_lock_and_no_python(name: str) -> None:
    assembly = compiled(name)._library.get_asm_str()
    code = [line for line in assembly.splitlines() if not line.lstrip().startswith((".", "#"))]
    assert len(code) > (100 if name == "capture" else 500), "the callback's code is not here"
    assert [line for line in code if FORBIDDEN.search(line)] == []


@every_callback
def test_there_is_no_division_by_a_variable(name: str) -> None:
    # Integer division costs tens of cycles and traps on zero.
    module = compiled(name).inspect_llvm()
    divisions = re.findall(r"= (?:[su]div|[su]rem) .*", module)
    assert [line for line in divisions if not re.search(r", \d+$", line.split("!")[0].strip(" ,"))] == []


@every_callback
def test_fences_are_in_the_code(name: str) -> None:
    module = compiled(name).inspect_llvm()
    fences, loads, stores = (2, 1, 10) if name == "capture" else (4, 10, 10)
    assert len(re.findall(r"fence seq_cst", module)) >= fences
    assert len(re.findall(r"load atomic i64", module)) >= loads
    assert len(re.findall(r"store atomic i64", module)) >= stores


@every_callback
def test_on_arm_every_ordered_access_is_an_ordering_instruction(name: str) -> None:
    module = compiled(name).inspect_llvm()
    order = accesses(assembly(module))
    for instruction, access in (("load atomic", "A"), ("store atomic", "R"), ("fence seq_cst", "F")):
        assert order.count(access) >= len(re.findall(rf"^ .*{instruction}", module, re.MULTILINE)) > 0


def test_the_search_would_find_an_allocation() -> None:
    def allocating(count):
        return np.zeros(count).sum()

    module = cfunc(types.float64(types.int64), error_model="numpy")(allocating).inspect_llvm()
    assert FORBIDDEN.search(module)
