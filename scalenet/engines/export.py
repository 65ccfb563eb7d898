"""Export to ONNX or ``torch.export``, with a check against the original network before the file is put in place."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch.export import Dim

from ..data.images import normalise
from ..data.io import atomic_write
from ..models.preprocessing import model_input
from ..nn.fuse import Folded, fold
from ..nn.network import ScaleNet
from .calibration import CalibrationImages, calibration_inputs
from .quantise import INT8_TOLERANCE, quantise

FORMATS = ("onnx", "pt2")
TOLERANCE, CHECKED = 1e-3, 3  # of the largest output, on so many inputs
SMALLEST = {"onnx": 1, "pt2": 33}  # sides in pixels: torch.export takes no map of one pixel for one of any size

Outputs = Sequence[torch.Tensor]


class ExportError(ValueError):
    """An exported file whose outputs differ from the network's."""


def export(
    model: ScaleNet, path: str | Path, form: str | None = None, *, calibration: CalibrationImages | None = None
) -> dict[str, Any]:
    """Export ``model`` for use without this package, with dynamic batch, height and width. An ONNX file accepts any
    size, a ``torch.export`` program images of at least 33x33 pixels.

    The input is (B, 3, H, W), float32, normalised; mean, std and labels are in the file's metadata. The outputs are
    named logits; heatmaps; or heatmaps, tags, heatmaps_x2.

    Args:
        form: "onnx" (needs onnx, onnxscript, onnxruntime) or "pt2"; default by the file's suffix.
        calibration: images, or a folder of them, to calibrate an int8 ONNX file (its first and last convolutions stay
            in float32); default: float32.

    Returns:
        path, format, dtype, bytes, outputs, smallest_side in pixels, and max_difference from the original relative to
        the largest output, over several sizes including the smallest; for int8 over some of the images.

    Raises:
        ValueError: for an unknown format, or int8 in one that does not support it.
        ExportError: if the file's outputs differ from the network's; it is then deleted.
        ImportError, DiskFullError: if a package for ONNX is missing, or the disk is full.
    """
    path = Path(path)
    form = _form(model, form or path.suffix.lstrip("."), calibration is not None)
    program_of, load = (onnx_model, _load_onnx) if form == "onnx" else (_pt2_program, _load_pt2)
    names, folded = model.spec.output_names, Folded(fold(model).cpu(), full_size=True)
    data = program_of(folded.eval(), _metadata(model), names)
    inputs, most, dtype = _examples(model, SMALLEST[form]), TOLERANCE, "float32"
    if calibration is not None:
        inputs, most, dtype = _seen(model, calibration), INT8_TOLERANCE, "int8"
        data = quantise(data, [x.numpy() for x in inputs])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, f".{form}", len(data)) as temporary:
        temporary.write_bytes(data)
        difference = _difference(model, load(temporary), inputs[:CHECKED])
        if not difference <= most:
            raise ExportError(f"{path}: outputs differ from the network's by {difference:.2g} of the largest")
    said = {"path": str(path), "format": form, "dtype": dtype, "bytes": path.stat().st_size, "outputs": list(names)}
    return {**said, "smallest_side": SMALLEST[form], "max_difference": difference}


def _form(model: ScaleNet, form: str, int8: bool) -> str:
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    if not model.num_classes:
        raise ValueError("a network without outputs (num_classes=0) cannot be exported")
    if int8 and form != "onnx":
        raise ValueError(f"8-bit integers are for ONNX files, not for {form}")
    return form


def _seen(model: ScaleNet, calibration: CalibrationImages) -> list[torch.Tensor]:
    """The normalised images, as the network sees them."""
    size, statistics = model_input(model)
    arrays = calibration_inputs(model, size, calibration)
    return [normalise(torch.from_numpy(x).permute(0, 2, 3, 1), **statistics).contiguous() for x in arrays]


def _metadata(model: ScaleNet) -> dict[str, str]:
    size, statistics = model_input(model)
    labels = model.labels.to_dict() if model.labels else None
    facts = {"task": model.task, "input_size": size, **statistics, "labels": labels, "arch": model.arch.to_dict()}
    return {key: json.dumps(value) for key, value in facts.items()}


def _examples(model: ScaleNet, smallest: int) -> list[torch.Tensor]:
    """Random images of other sizes and batch sizes than the traced one."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((1, (64, 96)), (3, (101, 75)), (1, (smallest, smallest)))
    return [torch.randn(batch, model.in_chans, *size, generator=generator) for batch, size in sizes]


def _program(folded: Folded) -> torch.export.ExportedProgram:
    shape = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with torch.no_grad():
        return torch.export.export(folded, (folded.example(2, (96, 160)),), dynamic_shapes=(shape,))


def _pt2_program(folded: Folded, metadata: dict[str, str], _: Sequence[str]) -> bytes:
    data = io.BytesIO()  # torch's own writing of files ends the process when the disk is full
    torch.export.save(_program(folded), data, extra_files=metadata)
    return data.getvalue()


def _load_pt2(path: Path) -> Callable[[torch.Tensor], Outputs]:
    return torch.export.load(path).module()


def onnx_model(folded: Folded, metadata: dict[str, str], outputs: Sequence[str]) -> bytes:
    """An ONNX model with dynamic batch, height and width, from ``images`` to the named outputs.

    Raises:
        ImportError: if a package for ONNX is missing.
    """
    onnx = _onnx("onnx")
    _onnx("onnxscript")
    program = torch.onnx.export(
        _program(folded), input_names=["images"], output_names=list(outputs), dynamo=True, verbose=False
    )
    proto = cast(torch.onnx.ONNXProgram, program).model_proto
    onnx.helper.set_model_props(proto, metadata)
    return proto.SerializeToString()


def _load_onnx(path: Path) -> Callable[[torch.Tensor], Outputs]:
    session = _onnx("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"images": x.numpy()})]


def _onnx(package: str) -> Any:
    try:
        return __import__(package)
    except ImportError:
        raise ImportError(f"ONNX needs {package}: pip install onnx onnxruntime onnxscript") from None


@torch.inference_mode()
def _difference(model: ScaleNet, exported: Callable[[torch.Tensor], Outputs], inputs: Sequence[torch.Tensor]) -> float:
    """Largest difference of the outputs for some images."""
    original = copy.deepcopy(model).cpu().eval()
    worst = 0.0
    for x in inputs:
        expected = original(x)
        expected = (expected,) if isinstance(expected, torch.Tensor) else expected
        for a, b in zip(expected, exported(x), strict=True):
            if a.shape != b.shape:
                raise ExportError(f"the exported output is {tuple(b.shape)}, the network's {tuple(a.shape)}")
            worst = max(worst, ((a - b).abs().max() / a.abs().max().clamp_min(1e-6)).item())
    return worst
