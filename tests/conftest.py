"""One tiny search space and small real pictures for the whole suite; no network is ever reached by accident."""

import os

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import random

import pytest
import torch

from scalenet.arch import SearchSpace

TINY = {"stem_width": 24, "stage1_width": 16, "modules": (1, 2, 2), "depths": (1, 2)}


def status_of(main, argv):
    """A command's exit status, argparse's own errors included."""
    try:
        return main(argv)
    except SystemExit as e:
        return e.code


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(params=["segmentation", "pose"])
def space(request) -> SearchSpace:
    """A tiny space of either task."""
    return SearchSpace(request.param, 8, (64, 64), **TINY)
