"""Compiled code as an ARM processor would run it: LLVM generates it on any machine."""

from __future__ import annotations

import functools
import re

import llvmlite.binding as llvm
import pytest


@functools.cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(opt=3)
    except RuntimeError:
        pytest.skip("this llvmlite has no code generator for ARM")


def assembly(module: str) -> str:
    """LLVM IR of numba, made for this machine, as assembly for ARM."""
    machine = _machine()
    parsed = llvm.parse_assembly(re.sub(r"^target .*$", "", module, flags=re.MULTILINE))
    parsed.triple = machine.triple
    return machine.emit_assembly(parsed)


def accesses(code: str) -> str:
    """The memory accesses in assembly, in order, a letter each.

    A: load-acquire, R: store-release, F: full fence, l and s: plain loads and stores.
    """
    letters = {"ldar": "A", "stlr": "R", "dmb": "F"}
    opcodes = re.findall(r"^\s+([a-z]\w*)", code, re.MULTILINE)
    return "".join(letters.get(opcode) or {"ld": "l", "st": "s"}.get(opcode[:2], "") for opcode in opcodes)
