"""One tiny search space and small real images for the whole suite; no network is ever reached by accident."""

import os

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import random

import pytest
import torch

from scalenet.archs.arch import SearchSpace

from .small_data import camvid_form
from .small_training import TINY, tiny_recipe


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


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    """A folder in CamVid's form with three classes."""
    return camvid_form(tmp_path_factory.mktemp("camvid"))


@pytest.fixture
def recipe(camvid, tmp_path):
    """Four steps of a tiny supernet on ``camvid``, into ``tmp_path / "run"``."""
    return tiny_recipe(camvid, tmp_path / "run")


def pytest_collection_modifyitems(items):
    """The clone for torch.hub is made and read before processes have grown by everything else."""
    items.sort(key=lambda item: "test_hubconf" not in item.nodeid)
