"""Architectures and search spaces are values: round trips, canonical form, membership, hostile input."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.archs.arch import Arch, ArchError, ModuleArch, SearchSpace
from scalenet.models.pretrained import ARCHS

ROOT = Path(__file__).parents[2]

PUBLISHED = [f"scalenet_{kind}{i}" for kind in "ps" for i in (1, 2, 3, 4)]


@st.composite
def archs(draw):
    low = draw(st.integers(1, 3))
    space = SearchSpace(
        draw(st.sampled_from(["segmentation", "pose"])), draw(st.integers(1, 64)),
        (draw(st.integers(1, 2048)), draw(st.integers(1, 2048))),
        modules=tuple(draw(st.tuples(*[st.integers(1, 3)] * 3))), depths=(low, low + draw(st.integers(0, 2))),
    )  # fmt: skip
    return space, space.sample(random.Random(draw(st.integers(0, 2**32))), fusion=draw(st.floats(0, 1)))


@given(archs())
@settings(max_examples=60, deadline=None)
def test_round_trip_digest_and_membership(pair):
    space, arch = pair
    again = Arch.from_json(arch.to_json())
    assert again == arch and hash(again) == hash(arch) and again.digest == arch.digest
    assert arch in space
    assert space.largest().contains(arch) or space.task == "pose"
    assert space.supernet().contains(arch)
    assert arch.replace(name="other", input_size=(32, 32)).digest == arch.digest
    assert arch.replace(width=arch.width + 1).digest != arch.digest


@given(archs())
@settings(max_examples=30, deadline=None)
def test_a_wider_space_holds_the_smaller_ones_archs(pair):
    space, arch = pair
    wider = SearchSpace(space.task, space.width, space.input_size, modules=space.modules, depths=(1, 8))
    assert arch in wider and wider.supernet().contains(arch)


def test_canonical_form_sorts_sources_and_leaves_self_out():
    messy = ModuleArch((1, 1, 1), (((2, 1, 0, 1),), ((),), ((2,),)))
    assert messy.fusions == (((1, 2),), ((),), ((),))
    assert messy == ModuleArch((1, 1, 1), (((1, 2),), ((),), ((),)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_architectures_belong_to_the_published_space(name):
    arch = Arch.load(ARCHS / f"{name}.json")
    space = SearchSpace(arch.task, arch.width, arch.input_size)
    assert arch in space and arch.name == name
    assert json.loads(arch.to_json())["stages"] == json.loads((ARCHS / f"{name}.json").read_text())["stages"]


def test_published_space_has_26_depths_and_310_bits():
    space = SearchSpace("pose", 32, (256, 192))
    assert (space.free_depths, space.free_bits) == (26, 310)


def test_pose_reads_branch_0_alone_at_the_end():
    last = SearchSpace("pose", 8, (64, 64)).sample(random.Random(3)).stages[-1][-1]
    assert last.fusions[0][-1] == (1, 2, 3)
    assert all(last.fusions[j][-1] == () for j in (1, 2, 3))


def test_hrnet_is_one_encoding_of_the_space():
    arch = Arch.hrnet(32)
    modules = [m for _, _, m in arch.modules()]
    assert len(modules) == 8 and arch.name == "hrnet_w32" and arch.task == "segmentation"
    for m in modules:
        assert set(m.depths) == {4}
        for j, row in enumerate(m.fusions):
            assert row[:-1] == ((),) * 3 and set(row[-1]) == set(range(len(m.depths))) - {j}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"width": 10**9}, "width"),
        ({"width": True}, "width"),
        ({"task": "cooking"}, "task"),
        ({"input_size": [64]}, "input_size"),
        ({"stages": [[]] * 3}, "modules"),
        ({"stages": []}, "stages"),
        ({"stages": [[{"depths": [10**9, 1], "fusions": [[], []]}]] * 3}, "depth"),
        ({"stages": [[{"depths": [1, 1], "fusions": [[[7]], [[]]]}]] * 3}, "fusion source"),
        ({"stages": [[{"depths": [1, 1], "fusions": [[[0]], []]}]] * 3}, "fusions of branch 1"),
        ({"surprise": 1}, "unknown surprise"),
    ],
)
def test_malformed_or_hostile_architectures_are_refused(change, words):
    data = SearchSpace("pose", 8, (64, 64), modules=(1, 1, 1)).smallest().to_dict() | change
    with pytest.raises(ArchError, match=words):
        Arch.from_dict(data)


def test_unreadable_files_name_the_file(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{" * 100_000)
    with pytest.raises(ArchError, match=r"bad\.json"):
        Arch.load(bad)
    bad.write_bytes(b" " * (2 << 20))
    with pytest.raises(ArchError, match="too large"):
        Arch.load(bad)


def test_space_names_what_is_outside():
    space = SearchSpace("pose", 8, (64, 64), modules=(1, 1, 1), depths=(1, 2))
    deep = SearchSpace("pose", 8, (64, 64), modules=(1, 1, 1), depths=(3, 3)).largest()
    with pytest.raises(ArchError, match="depth 3 of stage 2"):
        space.validate(deep)
    assert deep not in space and "text" not in space


def test_architectures_need_no_torch():
    code = (
        "import sys, types; sys.modules['torch'] = None; package = types.ModuleType('scalenet'); "
        "package.__path__ = ['scalenet']; sys.modules['scalenet'] = package; import scalenet.archs.arch"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_numpys_whole_numbers_are_whole_numbers():
    space = SearchSpace("pose", np.int64(32), (np.int32(256), 192), modules=(1, 1, 1))
    arch = space.largest()
    assert arch == SearchSpace("pose", 32, (256, 192), modules=(1, 1, 1)).largest() and type(arch.width) is int
    assert Arch.from_json(arch.to_json()) == arch
    for wrong in (True, np.bool_(True), 32.0, "32", None):
        with pytest.raises(ArchError, match="width must be a whole number"):
            arch.replace(width=wrong)
