"""From an archive to a front: a spread of what a search found, at several input sizes, measured from the file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scalenet.arch import Arch, SearchSpace
from scalenet.cost import count
from scalenet.engines.front import Front, Member
from scalenet.engines.front_file import NewMember, joined_statistics, write_front
from scalenet.models.metadata import CheckpointMetadata

from .archive import Archive, ArchiveError
from .evaluator import Evaluator, Size
from .evolution import pareto_front


def candidates(archive: Archive, space: SearchSpace, sizes: Sequence[Size], number: int) -> list[Arch]:
    """About ``number`` architectures: the archive's best and the space's smallest, spread evenly over each size.

    Args:
        sizes: (H, W) input sizes; default those of the archive's records.
    """
    records = list(archive.records.values())
    found = {r.arch.input_size for r in records}
    best = [r for size in found for r in pareto_front([r for r in records if r.arch.input_size == size])]
    archs = {r.digest: r.arch for r in best}
    archs.setdefault(space.smallest().digest, space.smallest())
    ordered = sorted(archs.values(), key=lambda arch: count(arch, space.input_size).macs)
    sizes = sorted(sizes or found)
    share = min(len(ordered), math.ceil(number / len(sizes)))
    places = {round(i * (len(ordered) - 1) / max(1, share - 1)) for i in range(share)}
    return [ordered[i].replace(input_size=size, name="") for size in sizes for i in sorted(places)]


def build(
    evaluator: Evaluator, archive: Archive, out: str | Path, number: int = 20, sizes: Sequence[Size] = ()
) -> Front:
    """Write a front; what was measured is kept beside it until it is whole, and not measured again.

    Each candidate gets BatchNorm statistics of its own, is written, read back and measured; those that no other beats
    at fewer multiply-adds become members.

    Raises:
        ArchiveError: if another front is half-made there, or nothing could be measured.
    """
    partial = Path(out).with_name(f"{Path(out).name.removesuffix('.safetensors')}.partial.safetensors")
    metadata, weights, metric = _metadata(evaluator, archive), evaluator.model.state_dict(), evaluator.metric
    done = _kept(partial, metadata)
    for arch in tqdm(candidates(archive, evaluator.space, sizes, number), desc="measured"):
        run_at = arch.replace(input_size=evaluator.size(arch) or evaluator.model.arch.input_size)
        if run_at not in done:
            done[run_at] = _measured(evaluator, metadata, arch, run_at)
            write_front(partial, weights, metadata, metric, list(done.values()))
    scored: list[Any] = [m for m in Front(partial).members if m.score is not None]
    best: list[Member] = pareto_front(scored)
    if not best:
        raise ArchiveError(f"{metric} could not be measured on these images: raise limit")
    write_front(out, weights, metadata, metric, [done[m.arch] for m in best])
    partial.unlink()
    return Front(out)


def _metadata(evaluator: Evaluator, archive: Archive) -> CheckpointMetadata:
    recipe, model = evaluator.task.recipe, evaluator.model
    images = f"the first {evaluator.limit} images" if evaluator.limit else "all images"
    settings = f"calibration={evaluator.calibration} limit={evaluator.limit}"
    return replace(
        evaluator.derived(model, model.labels or evaluator.metadata.labels, len(archive)),
        protocol=f"{images} of {recipe.val_split}, reduced to the member's input size, as a search scores them",
        command=f"python -m search front RECIPE ARCHIVE root=ROOT {settings} -o FILE --check",
        batchnorm=f"each member's own, recalibrated on {evaluator.calibration} training images",
    )  # fmt: skip


def _kept(partial: Path, metadata: CheckpointMetadata) -> dict[Arch, NewMember]:
    """What an earlier run measured."""
    if not partial.is_file():
        return {}
    front = Front(partial)
    if front.metadata.header() != metadata.header():
        raise ArchiveError(f"{partial} is of another supernet, archive or settings: remove it, or name another file")
    return {m.arch: NewMember(m.arch, front.statistics(m).clone(), m.metrics) for m in front.members}


def _measured(evaluator: Evaluator, metadata: CheckpointMetadata, arch: Arch, run_at: Arch) -> NewMember:
    """A member written to a file of its own, and measured as it is read from there."""
    member = NewMember(run_at, joined_statistics(evaluator.static(arch).state_dict()), {})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.safetensors"
        write_front(file, evaluator.model.state_dict(), metadata, evaluator.metric, [member])
        front = Front(file)
        metrics = measure(evaluator, front, front.members[0].name)
    return replace(member, metrics={evaluator.task.validation: {evaluator.task.recipe.val_split: metrics}})


def measure(evaluator: Evaluator, front: Front, member: str) -> Mapping[str, Any]:
    """Metrics of a front's member on the validation images."""
    network = front.extract(member).to(evaluator.device)
    size = network.arch.input_size
    own = evaluator.task.sized or size != evaluator.model.arch.input_size
    return evaluator.task.evaluate(network, evaluator.limit, size if own else None)


def check_front(evaluator: Evaluator, front: Front) -> list[tuple[str, float | None, float]]:
    """Each member's name, what the file says it scores, and what it scores now."""
    return [(m.name, m.score, measure(evaluator, front, m.name)[evaluator.metric]) for m in front.members]
