"""Two processes under torchrun are one run: same sub-network and weights, other images, one archive."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scalenet.models.checkpoint import read_weights
from search.archive import Archive
from training.engine import Run

from ..distributed_worker import as_one, scored
from ..small_data import camvid_form
from ..small_training import metrics_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    data = camvid_form(out / "camvid")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
        "tests.distributed_worker", str(data), str(out),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out, [json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_gradients_and_statistics_are_averaged(reports):
    for report in reports[1]:
        assert report["world"] == 2 and report["device"] == "cpu"
        assert report["grad"] == [2.0, 4.0] and report["unused"] is True
        assert report["share"] == [0, 1, 2, 3, 4]
        assert report["mean"] == 5.0 and report["agreed"] == 3.5
    assert [r["tracked"] for r in reports[1]] == [0, 1], "counts are nobody's mean"


def test_training_keeps_the_weights_alike_on_other_images(reports):
    first, second = reports[1]
    assert first["parameters"] == second["parameters"]
    assert len(first["seen"]) == len(second["seen"]) == 4 and not set(first["seen"]) & set(second["seen"])
    state, metadata = read_weights(first["file"])
    assert metadata["steps"] == "4" and metrics_of(first["file"])["miou"] >= 0 and "conv1.weight" in state


def test_two_processes_make_the_weights_of_one(reports, tmp_path):
    """With fixed statistics, though hard pixels and class weights are spread unevenly over the images."""
    out, (first, _) = reports
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = Run(as_one(out / "camvid", tmp_path / "start")).model.state_dict()
    alone = read_weights(Run(as_one(out / "camvid", tmp_path / "alone")).run())[0]
    torch.set_num_threads(threads)
    both = read_weights(first["as_one"])[0]
    parts = [name for name in alone if name.endswith(("weight", "bias"))]
    moved = sum((alone[n] - start[n]).square().sum().item() for n in parts) ** 0.5
    apart = sum((alone[n] - both[n]).square().sum().item() for n in parts) ** 0.5
    assert moved > 0.01 and apart < 1e-4 * moved, (moved, apart)


def test_two_processes_score_as_one(reports, tmp_path):
    out, both = reports
    alone = json.loads(json.dumps(scored(out / "camvid", out / "people", tmp_path)))
    assert alone == both[0]["metrics"] == both[1]["metrics"]
    assert alone["pose"]["ap"] > 0.5 and 0 < alone["segmentation"]["miou"] < 1


def test_candidates_are_dealt_out_and_one_process_writes(reports):
    out, (first, second) = reports
    assert first["records"] == second["records"] and len(first["records"]) == 3
    assert len(first["scored"]) == 2 and len(second["scored"]) == 1
    assert set(first["scored"]) | set(second["scored"]) == set(first["records"])
    assert (first["written"], second["written"]) == (True, False)
    assert [r.digest for r in Archive(out / "archive0.jsonl").records.values()] == [
        first["scored"][0], second["scored"][0], first["scored"][1]
    ]  # fmt: skip
    assert {generation for _, _, generation in first["records"].values()} == {4}
