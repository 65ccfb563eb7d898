"""What two processes under torchrun must agree on; writes one JSON file for each. Run by test_distributed.py."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from scalenet.archs.arch import SearchSpace
from search.archive import Archive
from search.evaluator import Evaluator, EvaluatorPlan
from search.executors import Processes
from search.run import evaluate_all
from tests.small_pose import SpotNetwork, coco_form, person
from tests.small_training import SPACE, tiny_recipe
from training import distributed
from training.config import Recipe
from training.engine import Run
from training.recipes import RECIPES
from training.tasks import TASKS
from training.tasks.base import Task

POSE_SPACE = SearchSpace("pose", 8, (64, 48), 8, 8, (1, 1, 1), (1, 1))


class Pair(nn.Module):
    """Two parameters, of which a step uses one."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.used * x).sum()


def averages(rank: int) -> dict[str, Any]:
    """Gradients and statistics of two processes with different ones; a value that only the first knows."""
    pair = Pair()
    module = distributed.parallel(pair, torch.device("cpu"))
    module(torch.tensor([1.0, 2.0]) * (1 + 2 * rank)).backward()
    norm = nn.BatchNorm2d(1)
    norm.running_mean.fill_(10.0 * rank)
    norm.num_batches_tracked.fill_(rank)
    distributed.average_buffers(norm)
    return {
        "grad": pair.used.grad.tolist(), "unused": pair.unused.grad is None, "mean": norm.running_mean.item(),
        "tracked": norm.num_batches_tracked.item(), "agreed": distributed.agree(3.5 + rank),
        "share": distributed.together(distributed.gathered_objects(distributed.share(range(5)))),
    }  # fmt: skip


def checksum(model: nn.Module, kinds: str) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.named_parameters() if kinds == "parameters" else model.named_buffers():
        digest.update(name.encode() + tensor.detach().numpy().tobytes())
    return digest.hexdigest()


def trained(data: Path, out: Path) -> dict[str, Any]:
    """A supernet trained by both: parameters alike after every step, though each sees other images."""
    run = Run(tiny_recipe(data, out / "run"))
    seen: list[str] = []
    original = run.step

    def step(images: torch.Tensor, *targets: torch.Tensor) -> dict[str, float]:
        seen.append(hashlib.sha256(images.numpy().tobytes()).hexdigest())
        return original(images, *targets)

    run.step = step
    path = run.run()
    return {
        "parameters": checksum(run.model, "parameters"), "buffers": checksum(run.model, "buffers"), "seen": seen,
        "file": str(path),
    }  # fmt: skip


def as_one(data: Path, out: Path) -> Recipe:
    """Steps that any number of processes must do alike: sums over uneven valid pixels, fixed statistics."""
    return tiny_recipe(data, out).changed(
        batchnorm="frozen", optimizer="sgd", lr=0.01, steps=3, sandwich=1, batch=4,
        ohem=0.5, ohem_pixels=700, class_weights=True,
    )  # fmt: skip


def make_people(root: Path) -> None:
    """Five images of eight people, which make no even shares."""
    images = [
        [person(60, 90)], [person(70, 95), person(150, 90)], [person(90, 80)], [person(100, 90), person(190, 90)],
        [person(60, 110), person(170, 80)],
    ]  # fmt: skip
    for split in ("train2017", "val2017"):
        coco_form(root, images, split=split)


def pose_task(root: Path) -> Task:
    """COCO's task on small people, which all processes score together."""
    recipe = RECIPES["coco_w32_256x192"].changed(
        root=str(root), space=POSE_SPACE, classes=3, batch=2, size=(64, 48), early_size=(64, 48), init="", teacher="",
    )  # fmt: skip
    task = TASKS["pose"](recipe, torch.device("cpu"))
    task.shared = True
    return task


def scored(data: Path, people: Path, out: Path) -> dict[str, Any]:
    """Metrics of networks that are the same everywhere, of all processes together."""
    run = Run(tiny_recipe(data, out / "scored"))
    return {
        "segmentation": run.task.evaluate(run.model.eval()),
        "pose": pose_task(people).evaluate(SpotNetwork().eval()),
    }


def searched(data: Path, out: Path, weights: str, rank: int) -> dict[str, Any]:
    """Three candidates dealt out to two processes: all know all records, one writes them."""
    evaluator = Evaluator(EvaluatorPlan(weights, tiny_recipe(data, out), calibration=2, limit=1))
    archive, scored = Archive(out / f"archive{rank}.jsonl"), []
    original = evaluator.score
    evaluator.score = lambda arch, generation: scored.append(arch.digest) or original(arch, generation)
    archs = [SPACE.smallest(), SPACE.largest(), SPACE.hrnet()]
    assert evaluate_all(Processes(evaluator, lambda: False), archs, 4, archive, tqdm(disable=True))
    return {
        "records": {r.digest: [r.score, r.macs, r.generation] for r in archive.records.values()}, "scored": scored,
        "written": archive.path.is_file(),
    }  # fmt: skip


def main(data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    device = distributed.start("cpu")
    rank = distributed.rank()
    report = {"device": str(device), "world": distributed.world_size(), **averages(rank), **trained(data, out)}
    distributed.agree(0.0)  # the file of the first process is there
    report["as_one"] = str(Run(as_one(data, out / "as_one")).run())
    if rank == 0:
        make_people(out / "people")
    distributed.agree(0.0)
    report["metrics"] = scored(data, out / "people", out)
    report |= searched(data, out, report["file"], rank)
    (out / f"rank{rank}.json").write_text(json.dumps(report))
    distributed.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
