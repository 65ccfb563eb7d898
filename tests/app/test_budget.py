"""The Any-budget tab: what its function gives, its refusals, and that the app has it where there are fronts."""

from pathlib import Path

import numpy as np
import pytest

from scalenet.data.images import load_image, save_image
from scalenet.engines.front import Front

from ..small_fronts import write_small_front
from ..small_networks import sample_image

gradio = pytest.importorskip("gradio", reason="pip install gradio")


@pytest.fixture
def handlers(tmp_path):
    from scalenet.app.budget import BudgetHandlers
    from scalenet.app.networks import Networks

    files = [write_small_front(tmp_path / f"{task}.front.safetensors", task) for task in ("segmentation", "pose")]
    return BudgetHandlers(Networks({}), files, str(tmp_path / "cache"))


@pytest.fixture
def photo(tmp_path) -> str:
    save_image(tmp_path / "street.png", sample_image(64, 80))
    return str(tmp_path / "street.png")


def test_the_picked_one_and_the_best_side_by_side(handlers, photo):
    front = handlers.fronts["segmentation.front"]
    limit = front.members[1].macs / 1e9
    picked, best, facts, plot = handlers.look(photo, "segmentation.front", "GMACs", limit)
    drawn = [load_image(path) for path in (picked, best)]
    assert drawn[0].shape[1] >= 80 and not np.array_equal(*drawn)
    assert front.members[1].name in facts and front.best.name in facts and "miou 0.550" in facts
    assert plot == front.svg(front.members[1]) and Path(picked).name == "picked_shown.jpg"
    alone, same, *_ = handlers.look(photo)
    assert np.array_equal(load_image(alone), load_image(same)), "no limit: the best"


@pytest.mark.parametrize("arguments, words", [
    (("nobody", "GMACs", 1), "There is no"), (("segmentation.front", "hours", 1), "There is no"),
    (("segmentation.front", "GMACs", 1e-6), "The smallest needs|the smallest needs"),
    (("segmentation.front", "GMACs", -1), "A number from 1 is needed|number from 1"),
])  # fmt: skip
def test_refusals_are_one_line(handlers, photo, arguments, words):
    with pytest.raises(gradio.Error, match=words) as error:
        handlers.look(photo, *arguments)
    assert "\n" not in str(error.value)


def test_the_sliders_ends_fit_the_family(handlers, photo):
    low, high = handlers.span("pose.front", "GMACs")
    assert 0 < low <= high
    assert handlers.fronts["pose.front"].pick(max_macs=low * 1e9) and handlers.span("pose.front", "milliseconds")[1] > 1


def test_the_app_has_the_tab_where_there_are_fronts(tmp_path):
    from scalenet.demo import build_demo

    def endpoints(**options):
        return {f.api_name for f in build_demo({}, **options).fns.values() if f.api_visibility == "public"}

    file = write_small_front(tmp_path / "toys.front.safetensors")
    assert "budget" in endpoints(fronts=[file]) and "budget" not in endpoints()
    assert len(Front(file)) == 8
