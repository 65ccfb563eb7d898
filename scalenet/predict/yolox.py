"""A person detector in an ONNX file of YOLOX's form, run by onnxruntime on the processor.

(S, T): height and width of the file's input; A: its anchors, one for each cell of the grids of stride 8, 16 and 32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.ops import nms

STRIDES = (8, 16, 32)
GREY = 114  # fills what the image leaves of the input
FREE_SIZE = (640, 640)  # (S, T) where the file leaves them open
LARGEST = 2048
PERSON = 0  # among the classes
CANDIDATES = 1000  # boxes that take part in the suppression
LARGEST_LOGARITHM = 20.0  # of a side in strides; more would only overflow
FORM = (
    f"one input (1, 3, H, W) of float32, H and W multiples of {STRIDES[-1]} up to {LARGEST}, and one output "
    "(1, A, 5 + classes) of scores in 0..1, A = H/8*W/8 + H/16*W/16 + H/32*W/32"
)


class YoloxDetector:
    """Finds people by an ONNX file as YOLOX's ``export_onnx.py`` writes it; class 0 is a person.

    The image is made to fit the input's top left corner, BGR 0..255, and 114 fills the rest. Of each anchor the
    output has x, y, width, height, objectness and class scores. x and y are offsets in cells, width and height
    logarithms; if the medians of x and y over all anchors exceed a quarter of the input, which offsets never do, they
    are taken as pixels instead (a file written with ``--decode_in_inference``). An input of free size gets 640x640.

    Args:
        path: the file.
        threshold: least score, objectness x the class's.
        overlap: IoU with a better box from which a box is suppressed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no ONNX file, or not of this form, which is tried when it is read.
        ImportError: if onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, threshold: float = 0.3, overlap: float = 0.45) -> None:
        self.path, self.threshold, self.overlap = Path(path), threshold, overlap
        self._session = _open(self.path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else None
        if len(outputs) != 1 or shape is None:
            raise self._wrong(f"{len(inputs)} inputs and {len(outputs)} outputs")
        size = _input_size(shape)
        if size is None or inputs[0].type != "tensor(float)":
            raise self._wrong(f"an input {_text(shape)} of {inputs[0].type}")
        self.size = size
        self._input = inputs[0].name
        self(np.full((*self.size, 3), GREY, np.uint8))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(N, 5) float32 x1, y1, x2, y2, score of the people in an RGB (H, W, 3) uint8 image, best first."""
        blob, ratio = letterbox(image, self.size)
        boxes, scores = self._decode(self._run(blob))
        sure = np.flatnonzero((scores >= self.threshold) & np.isfinite(boxes).all(1))
        best = sure[np.argsort(-scores[sure], kind="stable")[:CANDIDATES]]
        boxes, scores = boxes[best], scores[best]
        kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), self.overlap).numpy()
        boxes = np.clip(boxes[kept] / ratio, 0, [*image.shape[1::-1]] * 2)
        found = np.column_stack([boxes, scores[kept]]).astype(np.float32)
        return found[(found[:, 2:4] > found[:, :2]).all(1)]

    def _run(self, blob: np.ndarray) -> np.ndarray:
        """(A, 5 + classes) of a (1, 3, S, T) input, checked."""
        try:
            (output,) = self._session.run(None, {self._input: blob})
        except Exception as e:  # onnxruntime has a kind of exception for each cause
            raise ValueError(f"{self.path} cannot be run on an input {_text(blob.shape)} ({_short(e)})") from None
        anchors = sum((self.size[0] // s) * (self.size[1] // s) for s in STRIDES)
        shape = getattr(output, "shape", None)
        if shape is None or len(shape) != 3 or shape[:2] != (1, anchors) or shape[2] < 6:
            raise self._wrong(f"an output {_text(shape)} for an input {_text(blob.shape)}, whose A is {anchors}")
        scores = output[0, :, 4:]
        if not (scores.min() >= -1e-3 and scores.max() <= 1 + 1e-3):
            raise self._wrong(f"scores in {scores.min():.3g}..{scores.max():.3g}")
        return output[0].astype(np.float64)

    def _decode(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A, 4) corners in pixels of the input, and (A,) scores of a person."""
        centre, sides = output[:, :2], output[:, 2:4]
        if not (np.median(centre, axis=0) > np.array(self.size[::-1]) / 4).all():
            cells, strides = grid(self.size)
            centre = (centre + cells) * strides
            sides = np.exp(np.minimum(sides, LARGEST_LOGARITHM)) * strides
        return np.hstack([centre - sides / 2, centre + sides / 2]), output[:, 4] * output[:, 5 + PERSON]

    def _wrong(self, found: str) -> ValueError:
        return ValueError(f"{self.path} is not of YOLOX's form: it has {found}; needed are {FORM}")


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """(1, 3, S, T) float32 BGR input of an RGB (H, W, 3) uint8 image, and the input's pixels per image pixel."""
    ratio = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, int(n * ratio)) for n in image.shape[:2])
    canvas = np.full((*size, 3), GREY, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1), np.float32)[None], ratio


def grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(A, 2) column and row of each anchor's cell, row by row and stride by stride, and (A, 1) strides."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        cells.append(np.column_stack([columns.ravel(), rows.ravel()]))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


def _open(path: Path) -> Any:
    """An onnxruntime session that prints nothing."""
    if not path.is_file():
        raise FileNotFoundError(f"no detector file {path}")
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("a detector in an ONNX file needs onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime has a kind of exception for each cause
        raise ValueError(f"{path} is no ONNX file that can be read ({_short(e)})") from None


def _input_size(shape: list[Any]) -> tuple[int, int] | None:
    """(S, T) of a session's input (B, 3, S, T), where a text or None is free; None if it is no such input."""
    if len(shape) != 4 or (isinstance(shape[0], int) and shape[0] != 1) or shape[1] != 3:
        return None
    s, t = (n if isinstance(n, int) else free for n, free in zip(shape[2:], FREE_SIZE, strict=True))
    fine = all(0 < n <= LARGEST and n % STRIDES[-1] == 0 for n in (s, t))
    return (s, t) if fine else None


def _text(shape: Any) -> str:
    return "of no shape" if shape is None else f"({', '.join(map(str, shape))})"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
