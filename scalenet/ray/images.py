"""Images by the million through Ray Data: a pool of actors that each hold the network; results as rows or Parquet.

Rows have ``path``, ``height``, ``width`` and ``error`` (why the image could not be read, else ""); for segmentation
also ``mask`` (a PNG of class indices) and ``shares`` (per class), for pose ``keypoints`` (N people, K joints, x, y and
score), ``scores`` and ``boxes`` (none for a bottom-up network). Their order is not defined. Each actor reads its own
images, at most one batch at a time.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scalenet

from ..data.images import encode_png, load_image
from ..data.io import atomic_write
from ..models.factory import load_model
from ..runtime.errors import one_line
from .cluster import start_ray

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

IMAGE_COLUMNS = ("image", "bytes", "path")  # of a dataset, the first that it has is looked at
ROWS_A_FILE = 1000
BLOCKS_AN_ACTOR = 4  # at least, so that they finish together
SETTINGS = "settings.json"  # what the rows of a folder were made by


def predict(
    images: Iterable[str | Path] | Dataset, model: str | Path, *, out: str | Path | None = None, actors: int = 1,
    num_cpus: int = 1, num_gpus: float = 0.0, batch_size: int = 8, address: str = "", **options: Any,
) -> Dataset:  # fmt: skip
    """Segment images, or estimate the poses in them, in many processes and machines; see the module for the rows.

    Args:
        images: paths or http(s) URLs, or a Ray Dataset with a column ``image`` (as from ``ray.data.read_images``),
            ``bytes`` (``read_binary_files``) or ``path``; an existing ``path`` is kept.
        model: name or file of a network, accessible on every machine.
        out: a shared folder for Parquet files. Images that it already covers, unreadable ones included, are skipped,
            so the same call resumes a killed one.
        actors: number of processes that each hold the network.
        num_cpus, num_gpus: resources per actor, which uses as many threads as CPUs. Without a GPU it runs on the CPU.
        batch_size: images or crops per forward pass, and images per actor at a time.
        address: see :func:`scalenet.ray.start_ray`.
        **options: of the network's predictor (:class:`~scalenet.Segmenter` or a pose estimator): ``flip=True``.

    Returns:
        The rows as a Ray Dataset: with ``out`` those of the folder, else computed lazily.

    Raises:
        TypeError: for an option that the predictor does not have.
        ConnectionError, ImportError: as :func:`scalenet.ray.start_ray`.
        ValueError: if the dataset has none of these columns, or the folder has rows made with other settings.
    """
    predictor = getattr(scalenet, load_model(model).spec.predictor)
    options = {"device": "cuda" if num_gpus else "cpu", **options}
    inspect.signature(predictor).bind(model, batch_size=batch_size, **options)
    start_ray(address)
    done = _begun(Path(out), {"model": str(model), **options}) if out else frozenset()
    looker = (str(model), predictor.__name__, batch_size, num_cpus, options)
    rows = _looked_at(_rows(images, done, actors), looker, actors, num_gpus)
    return rows if out is None else _written(rows, out)


def _looked_at(rows: Dataset, looker: tuple, actors: int, num_gpus: float) -> Dataset:
    """What a pool of actors makes of images; ``looker`` are the arguments of :class:`Looker`."""
    from ray.data import ActorPoolStrategy

    _, _, batch_size, num_cpus, _ = looker
    return rows.map_batches(
        Looker, fn_constructor_args=looker, batch_size=batch_size, batch_format="numpy", num_cpus=num_cpus,
        num_gpus=num_gpus, compute=ActorPoolStrategy(size=actors),
    )  # fmt: skip


def _written(rows: Dataset, out: str | Path) -> Dataset:
    """The rows of the folder when these are in it too."""
    import ray.data

    write: Any = write_rows  # a function of a table and the folder, which Ray's types do not know
    files = rows.map_batches(write, fn_args=(str(out),), batch_size=ROWS_A_FILE, batch_format="pyarrow", num_cpus=0)
    files.materialize()
    return ray.data.read_parquet(str(out), file_extensions=["parquet"])


def _rows(images: Iterable[str | Path] | Dataset, done: frozenset[str], actors: int) -> Dataset:
    """What is left to do."""
    import ray.data

    if isinstance(images, ray.data.Dataset):
        columns = images.columns() or []
        if not set(columns) & set(IMAGE_COLUMNS):
            raise ValueError(f"the dataset has no column {', '.join(IMAGE_COLUMNS)}, but {', '.join(columns)}")
        if not done:
            return images
        if "path" not in columns:
            raise ValueError("only images with a path can be gone on with: name another out")
        return images.filter(lambda row: row["path"] not in done)
    paths = [{"path": path} for path in map(str, images) if path not in done]
    blocks = min(len(paths), max(BLOCKS_AN_ACTOR * actors, len(paths) // ROWS_A_FILE))
    return ray.data.from_items(paths, override_num_blocks=max(1, blocks))


def _begun(out: Path, settings: dict[str, Any]) -> frozenset[str]:
    """Paths of the rows that a folder holds, of these settings.

    Raises:
        ValueError: if they are of others.
    """
    import pyarrow.parquet

    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, default=str, sort_keys=True)
    kept = out / SETTINGS
    if kept.is_file() and kept.read_text(encoding="utf-8") != text:
        raise ValueError(f"{out} holds results of {kept.read_text(encoding='utf-8')}, not of {text}: name another out")
    with atomic_write(kept) as temporary:
        temporary.write_text(text, encoding="utf-8")
    files = sorted(out.glob("*.parquet"))
    tables = (pyarrow.parquet.read_table(file, columns=["path"]) for file in files)
    return frozenset(path for table in tables for path in table.column("path").to_pylist())


def write_rows(rows: pyarrow.Table, out: str) -> pyarrow.Table:
    """Write rows as a file of their own, whole or not at all; returns how many they are."""
    import pyarrow
    import pyarrow.parquet

    if rows.num_rows:
        named = hashlib.sha256("\n".join(rows.column("path").to_pylist()).encode()).hexdigest()[:16]
        with atomic_write(Path(out) / f"rows-{named}.parquet") as temporary:  # one name however often Ray tries
            pyarrow.parquet.write_table(rows, temporary)
    return pyarrow.table({"rows": [rows.num_rows]})


class Looker:
    """What an actor is: a predictor that turns a batch of images into a table of results."""

    def __init__(self, model: str, predictor: str, batch_size: int, threads: int, options: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(threads)
        self.predictor = getattr(scalenet, predictor)(model, batch_size=batch_size, **options)
        self.segments = predictor == "Segmenter"

    def __call__(self, batch: dict[str, np.ndarray]) -> pyarrow.Table:
        """Rows of a batch of columns, in its order."""
        import pyarrow

        values = next(batch[name] for name in IMAGE_COLUMNS if name in batch)
        paths = batch["path"].tolist() if "path" in batch else [""] * len(values)
        images = [self._loaded(image) for image in values]
        found = iter(self.predictor.stream([image for image in images if not isinstance(image, str)]))
        rows = [
            {"path": path, **self._row(image, None if isinstance(image, str) else next(found))}
            for path, image in zip(paths, images, strict=True)
        ]
        return pyarrow.Table.from_pylist(rows, schema=self._schema())

    def _loaded(self, image: Any) -> np.ndarray | str:
        """Its pixels, or why it has none."""
        try:
            return load_image(image)
        except (OSError, ValueError) as e:
            return one_line(e)

    def _row(self, image: np.ndarray | str, result: Any) -> dict[str, Any]:
        if isinstance(image, str):
            return {"height": 0, "width": 0, "error": image}
        row = {"height": image.shape[0], "width": image.shape[1], "error": ""}
        if self.segments:
            return {**row, "mask": encode_png(result.mask), "shares": result.shares.tolist()}
        boxes = None if result.boxes is None else result.boxes.tolist()
        return {**row, "keypoints": result.keypoints.tolist(), "scores": result.scores.tolist(), "boxes": boxes}

    def _schema(self) -> Any:
        import pyarrow as pa

        numbers = pa.list_(pa.float32())
        kinds = {"path": pa.string(), "height": pa.int32(), "width": pa.int32(), "error": pa.string()}
        if self.segments:
            return pa.schema({**kinds, "mask": pa.binary(), "shares": numbers})
        joints = pa.list_(pa.list_(numbers))
        return pa.schema({**kinds, "keypoints": joints, "scores": numbers, "boxes": pa.list_(numbers)})
