"""From an archive to a front: a spread of what a search found, at several input sizes, measured from the file."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from scalenet.archs.arch import Arch, SearchSpace
from scalenet.archs.cost import count
from scalenet.engines.front import Front, Member
from scalenet.engines.front_file import NewMember, is_statistic, joined_statistics, write_front
from scalenet.models.factory import load_model
from scalenet.models.metadata import CheckpointMetadata
from scalenet.nn.network import ScaleNet

from .archive import Archive, ArchiveError
from .evaluator import Evaluator, Size
from .evolution import pareto_front


def candidates(archive: Archive, space: SearchSpace, sizes: Sequence[Size], number: int) -> list[Arch]:
    """About ``number`` architectures: the archive's best and the space's smallest, spread evenly over each size.

    Where the archive's fronts (one for each size that it was searched at) hold fewer than a size's share, the fronts of
    what remains follow, until there is nothing left.

    Args:
        sizes: (H, W) input sizes; default those of the archive's records.
    """
    rest = list(archive.records.values())
    found = {r.arch.input_size for r in rest}
    sizes, archs = sorted(sizes or found), {space.smallest().digest: space.smallest()}
    share = math.ceil(number / len(sizes))
    while rest and (len(archs) < share or len(rest) == len(archive)):
        best = [r for size in found for r in pareto_front([r for r in rest if r.arch.input_size == size])]
        archs |= {r.digest: r.arch for r in best}
        rest = [r for r in rest if r.digest not in archs]
    ordered = sorted(archs.values(), key=lambda arch: count(arch, space.input_size).macs)
    share = min(len(ordered), share)
    places = {round(i * (len(ordered) - 1) / max(1, share - 1)) for i in range(share)}
    return [ordered[i].replace(input_size=size, name="") for size in sizes for i in sorted(places)]


def build(
    evaluator: Evaluator,
    archive: Archive,
    out: str | Path,
    number: int = 20,
    sizes: Sequence[Size] = (),
    default: str | Path = "",
) -> Front:
    """Write a front; what was measured is kept beside it until it is whole, and not measured again.

    Each candidate gets BatchNorm statistics of its own, is written, read back and measured; those that no other beats
    at fewer multiply-adds become members.

    Args:
        number, sizes: see :func:`candidates`.
        default: name or file of a network that came out of this supernet, which is made a member just as it is, its
            own BatchNorm statistics too. What is cheaper and scores as much is left out then, so that scores rise with
            multiply-adds.

    Raises:
        ArchiveError: if another front is half-made there, nothing could be measured, or the default network has other
            weights than the supernet.
    """
    partial = Path(out).with_name(f"{Path(out).name.removesuffix('.safetensors')}.partial.safetensors")
    metadata, weights, metric = _metadata(evaluator, archive, default), evaluator.model.state_dict(), evaluator.metric
    done = _kept(partial, metadata)
    kept = _shipped(evaluator, default) if default else None
    networks = [*([kept] if kept else []), *candidates(archive, evaluator.space, sizes, number)]
    for network in tqdm(networks, desc="measured"):
        run_at = _run_at(evaluator, network)
        if run_at not in done:
            done[run_at] = _measured(evaluator, metadata, network, run_at)
            write_front(partial, weights, metadata, metric, list(done.values()))
    scored: list[Any] = [m for m in Front(partial).members if m.score is not None]
    best = rising(scored, _run_at(evaluator, kept) if kept else None)
    if not best:
        raise ArchiveError(f"{metric} could not be measured on these images: raise limit")
    write_front(out, weights, metadata, metric, [done[m.arch] for m in best])
    partial.unlink()
    return Front(out)


def rising(members: Sequence[Any], kept: Arch | None = None) -> list[Member]:
    """Members that no cheaper one equals, cheapest first.

    Args:
        kept: stays whatever the others score; says on stderr what is left out for it.

    Raises:
        ArchiveError: if it was not measured.
    """
    own = next((m for m in members if m.arch == kept), None)
    if own is None:
        if kept is not None:
            raise ArchiveError("the default network could not be measured on these images: raise limit")
        return pareto_front(members)
    above = [m for m in members if m is not own and m.macs <= own.macs and m.score >= own.score]
    for m in pareto_front(above):
        print(f"left out for {own.name} ({own.score:.4f}): {m.name}, {m.score:.4f}", file=sys.stderr)
    return pareto_front([m for m in members if m not in above])


def _run_at(evaluator: Evaluator, network: Arch | ScaleNet) -> Arch:
    """A network's architecture with the (H, W) it is run at."""
    arch = network if isinstance(network, Arch) else network.arch
    return arch.replace(input_size=evaluator.size(arch) or evaluator.model.arch.input_size, name="")


def _shipped(evaluator: Evaluator, name: str | Path) -> ScaleNet:
    """A network whose every weight is the supernet's."""
    network, whole = load_model(name), evaluator.model.state_dict()
    for entry, value in network.state_dict().items():
        if not is_statistic(entry) and not (entry in whole and torch.equal(value, whole[entry].cpu())):
            raise ArchiveError(
                f"{name} has other weights than {evaluator.file} ({entry}): it is no member of its front"
            )
    return network


def _metadata(evaluator: Evaluator, archive: Archive, default: str | Path) -> CheckpointMetadata:
    recipe, model = evaluator.task.recipe, evaluator.model
    other = f", that of {Path(default).name} as it was shipped" if default else ""
    images = f"the first {evaluator.limit} images" if evaluator.limit else "all images"
    settings = f"calibration={evaluator.calibration} limit={evaluator.limit}"
    return replace(
        evaluator.derived(model, model.labels or evaluator.metadata.labels, len(archive)),
        protocol=f"{images} of {recipe.data.val_split}, reduced to the member's input size, as a search scores them",
        command=f"python -m search front RECIPE ARCHIVE root=ROOT {settings} -o FILE --check",
        batchnorm=f"each member's own, recalibrated on {evaluator.calibration} training images{other}",
    )  # fmt: skip


def _kept(partial: Path, metadata: CheckpointMetadata) -> dict[Arch, NewMember]:
    """What an earlier run measured."""
    if not partial.is_file():
        return {}
    front = Front(partial)
    if front.metadata.header() != metadata.header():
        raise ArchiveError(f"{partial} is of another supernet, archive or settings: remove it, or name another file")
    return {m.arch: NewMember(m.arch, front.statistics(m).clone(), m.metrics) for m in front.members}


def _measured(evaluator: Evaluator, metadata: CheckpointMetadata, network: Arch | ScaleNet, run_at: Arch) -> NewMember:
    """A member written to a file of its own, and measured as it is read from there; of an architecture recalibrated."""
    network = network if isinstance(network, ScaleNet) else evaluator.static(network)
    member = NewMember(run_at, joined_statistics(network.state_dict()), {})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.safetensors"
        write_front(file, evaluator.model.state_dict(), metadata, evaluator.metric, [member])
        front = Front(file)
        metrics = measure(evaluator, front, front.members[0].name)
    return replace(member, metrics={evaluator.task.validation: {evaluator.task.recipe.data.val_split: metrics}})


def measure(evaluator: Evaluator, front: Front, member: str) -> Mapping[str, Any]:
    """Metrics of a front's member on the validation images."""
    network = front.extract(member).to(evaluator.device)
    size = network.arch.input_size
    own = evaluator.task.sized or size != evaluator.model.arch.input_size
    return evaluator.task.evaluate(network, evaluator.limit, size if own else None)


def check_front(evaluator: Evaluator, front: Front) -> list[tuple[str, float | None, float]]:
    """Each member's name, what the file says it scores, and what it scores now."""
    return [(m.name, m.score, measure(evaluator, front, m.name)[evaluator.metric]) for m in front.members]
