"""The authors' pickled ``.npy`` mask files to architectures.

A mask file is a pickled object array with a dict per module: "d", depths (n, 1), and "f", (n, steps) lists of n bits,
one per source. The unpickler knows the words numpy writes arrays in, gives each a harmless meaning of its own, and
looks nothing up; so no code runs, and nothing larger than the file is made.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..archs.arch import MAX_MODULES, PUBLISHED_INPUT, STAGE_BRANCHES, Arch, ArchError, ModuleArch
from ..data.io import write_text

MAX_BYTES = 1 << 22
INTEGERS = {f"{kind}{size}": int(size) for kind in "iu" for size in "1248"} | {"b1": 1}


class _DType:
    """``numpy.dtype``: a code of an integer type, or "O8"."""

    order: Literal["little", "big"] = "little"

    def __init__(self, code: str, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = "big" if state[1] == ">" else "little"

    def integers(self, data: bytes | str) -> list[int]:
        """The numbers in a buffer."""
        size = INTEGERS[self.code]
        data = data.encode("latin1") if isinstance(data, str) else data
        parts = (data[i : i + size] for i in range(0, len(data), size))
        return [int.from_bytes(p, self.order, signed=self.code[0] == "i") for p in parts]


class _Array:
    """``numpy.ndarray``: a sequence of nested lists."""

    def __init__(self, *_: object) -> None:
        self.values: list[Any] = []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, data = state
        flat = list(data) if dtype.code.startswith("O") else dtype.integers(data)
        if math.prod(shape) != len(flat):
            raise ValueError("an array's shape is not that of its data")
        for size in shape[:0:-1]:
            flat = [flat[i : i + size] for i in range(0, len(flat), size)]
        self.values = flat


def _scalar(dtype: _DType, data: bytes | str) -> int:
    return dtype.integers(data)[0]


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays of numbers, lists and dicts, and refuses every other name."""

    WORDS = {  # noqa: RUF012
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
        **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DType,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.WORDS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_masks(path: str | Path) -> Sequence[Any]:
    """What an authors' ``.npy`` mask file holds: sequences, dicts and numbers.

    Raises:
        FileNotFoundError: if there is no such file.
        ArchError: if it is no such file, too large, or holds anything but numbers.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ArchError(f"{path} is too large for a mask file (over {MAX_BYTES} bytes)")
    data = io.BytesIO(path.read_bytes())
    try:
        version = np.lib.format.read_magic(data)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        _, _, dtype = readers[version](data)
        if not dtype.hasobject:
            raise ArchError(f"{path} holds numbers, not a mask per module")
        return _load(data.read())
    except ArchError:
        raise
    except Exception as e:  # a hostile pickle can raise anything
        raise ArchError(f"{path} is not a mask file ({str(e)[:80]})") from None


def _load(data: bytes) -> Any:
    """Unpickle, after a look at the instructions: one may ask for memory by a number alone."""
    for instruction, argument, _ in pickletools.genops(data):
        if instruction.name == "BYTEARRAY8" or ("PUT" in instruction.name and int(argument or 0) > len(data)):
            raise ValueError(f"an instruction no array needs: {instruction.name}")
    return _ArraysOnly(io.BytesIO(data), encoding="latin1").load()


def masks_to_arch(
    masks: Sequence[Any], task: str, width: int, name: str = "", size: tuple[int, int] | None = None
) -> Arch:
    """An architecture from the authors' masks: per module "d" (n, 1) depths and "f" bits per branch, step, source.

    Args:
        size: (H, W) that becomes the architecture's ``input_size``; default 1024x2048 or 256x192.

    Raises:
        ArchError: if they are not of that form.
    """
    try:
        if len(masks) > MAX_MODULES * len(STAGE_BRANCHES):
            raise ValueError(f"{len(masks)} modules")
        modules = [_module(mask) for mask in masks]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
        raise ArchError(f"not the authors' mask form ({type(e).__name__}: {str(e)[:60]})") from None
    stages = tuple(tuple(m for m in modules if len(m.depths) == branches) for branches in STAGE_BRANCHES)
    if [m for stage in stages for m in stage] != modules:
        raise ArchError("masks must come in the order of the stages: 2, then 3, then 4 branches")
    return Arch(task, width, stages, size or PUBLISHED_INPUT[task], name)


def _module(mask: Mapping[str, Any]) -> ModuleArch:
    branches = len(mask["d"])
    if branches not in STAGE_BRANCHES:
        raise ValueError(f"{branches} branches")
    depths = tuple(int(mask["d"][j][0]) for j in range(branches))
    rows = (tuple(_sources(mask["f"][j][d], branches) for d in range(depth)) for j, depth in enumerate(depths))
    return ModuleArch(depths, tuple(rows))


def _sources(bits: Sequence[int], branches: int) -> tuple[int, ...]:
    if len(bits) != branches:
        raise ValueError(f"{len(bits)} bits for {branches} sources")
    return tuple(k for k in range(branches) if bits[k])


def convert_masks(path: str | Path, out: str | Path, task: str, width: int, name: str = "") -> dict[str, Any]:
    """Write an authors' mask file as architecture JSON; returns what was written."""
    arch = masks_to_arch(read_masks(path), task, width, name or Path(out).stem)
    write_text(out, arch.to_json() + "\n")
    return {"path": str(out), "arch": arch.name, "digest": arch.digest, "task": task, "width": width}
