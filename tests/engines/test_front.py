"""Fronts: what is written is what comes out, limits are kept, and what is wrong is one line."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import scalenet
from scalenet.archs.arch import SearchSpace
from scalenet.archs.budget import Budget, BudgetError, parse_count, parse_milliseconds, short_count
from scalenet.archs.cost import normalized_channels
from scalenet.engines import latency
from scalenet.engines.cache import cache_folder
from scalenet.engines.front import Front
from scalenet.engines.front_file import content_digest
from scalenet.models import pretrained
from scalenet.models.checkpoint import WeightsError, read_weights
from scalenet.models.factory import create_model, load_model
from scalenet.models.provenance import metadata_of
from scalenet.nn.network import ScaleNet

from ..small_fronts import SIZES, small_archs, small_supernet, static_of, write_small_front
from ..small_networks import small_network, write


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_small_front(tmp_path_factory.mktemp("front") / "toys.front.safetensors")


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """Milliseconds are a million multiply-adds each; returns the names of the members that were timed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    timed = []

    def ms(network, device, engine, dtype):
        timed.append(f"{network.arch.digest[:8]}@{network.arch.input_size[0]}")
        return network.cost().macs / 1e6 / {"torch": 1, "openvino": 2}[engine] / (2 if dtype == "bfloat16" else 1)

    monkeypatch.setattr(latency, "network_ms", ms)
    return timed


# -- limits ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text, value", [
    ("1.5G", 1_500_000_000), ("800m", 800_000_000), ("2 k", 2000), (1.5e9, 1_500_000_000), (7, 7),
    ("2.4e9", 2_400_000_000),
])  # fmt: skip
def test_counts_as_people_write_them(text, value):
    assert parse_count(text) == value


@pytest.mark.parametrize("text, value", [("8ms", 8), ("0.02s", 20), (12.5, 12.5), ("20 ms", 20), (".5", 0.5)])
def test_times_as_people_write_them(text, value):
    assert parse_milliseconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "bad", ["", "fast", "-1G", 0, "1.5X", float("nan"), "inf", True, None, "1e999", "9" * 100 + "e"]
)
def test_no_limits(bad):
    for parse in (parse_count, parse_milliseconds):
        with pytest.raises(BudgetError, match="is needed, for example"):
            parse(bad)
    if bad is not None:
        with pytest.raises(BudgetError, match="max_latency_ms"):
            Budget.of(max_latency_ms=bad)


@given(st.integers(1, 10**14))
def test_a_limit_that_is_told_is_kept_by_what_it_was_told_of(value):
    told = parse_count(short_count(value))
    assert value <= told <= value * 1.01 + 1


# -- the file --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
def test_statistics_are_counted_from_the_architecture_alone(task):
    space = SearchSpace("segmentation" if task == "segmentation" else "pose", 8, (64, 64), 24, 16, (1, 2, 1), (1, 3))
    for seed in range(4):
        arch = space.sample(random.Random(seed))
        state = ScaleNet(arch, task=task, num_classes=5, device="meta").state_dict()
        assert normalized_channels(arch, task, 5) == sum(v.numel() for k, v in state.items() if k.endswith("_mean"))


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
def test_members_are_the_networks_they_were(tmp_path, task):
    front = Front(write_small_front(tmp_path / "f.safetensors", task))
    net = small_supernet(task)
    assert len(front) == 8 and front.spec.name == task
    assert [m.macs for m in front.members] == sorted(m.macs for m in front.members)
    for seed, arch in enumerate(small_archs(task)):
        (member,) = (m for m in front.members if m.arch == arch)
        wanted, got = static_of(net, arch, seed), front.extract(member)
        assert (got.arch, got.task, got.labels, got.training) == (arch, task, net.labels, False)
        assert got.pretrained_cfg["input_size"] == (3, *arch.input_size) and got.cost().macs == member.macs
        assert sum(p.numel() for p in got.parameters()) == member.params
        x = torch.rand(1, 3, *arch.input_size)
        with torch.inference_mode():
            ours, theirs = (y if task == "bottomup" else [y] for y in (got(x), wanted(x)))
            for a, b in zip(ours, theirs, strict=True):
                assert torch.equal(a, b)
    assert metadata_of(got).metrics["toys"]["val"]["miou"] == member.score and metadata_of(got).terms == "toys"


def test_weights_are_there_once(file, tmp_path):
    alone = scalenet.models.checkpoint.save_weights(tmp_path / "s.st", small_supernet().state_dict(), {}, half=True)
    assert file.stat().st_size < 1.3 * alone.stat().st_size + 8 * 40_000  # eight members of a network this small
    state, header = read_weights(file)
    assert not any("running" in k for k in state) and state["conv1.weight"].dtype == torch.float16
    assert header["content"] == content_digest(state, header)


def test_a_file_alone_is_its_best_member(file):
    model = load_model(file)
    assert model.arch == Front(file).best.arch and model.labels.dataset == "camvid"
    assert scalenet.Segmenter(file).trained_size == SIZES[0]


def changed(file, path, change):
    """The front with ``change(tensors, said)`` done to it, the checksum made right again."""
    state, header = read_weights(file)
    state, said = {k: v.clone() for k, v in state.items()}, json.loads(header["front"])
    change(state, said)
    header = {k: v for k, v in header.items() if k != "content"} | {"front": json.dumps(said)}
    save_file(state, path, metadata=header | {"content": content_digest(state, header)})
    return path


def widened(arch):
    return {**arch, "width": 1024}


@pytest.mark.parametrize("change, words", [
    (lambda t, s: t.pop("members.0.statistics"), "members.0.statistics"),
    (lambda t, s: t.update({"members.1.statistics": torch.zeros(3)}), "member 1 needs"),
    (lambda t, s: t["members.1.statistics"].fill_(float("nan")), "member 1 needs"),
    (lambda t, s: s["members"][0].update(arch=widened(s["members"][0]["arch"])), "member 0 is no sub-network"),
    (lambda t, s: s["members"].append(s["members"][0]), "members.8.statistics"),
    (lambda t, s: s.update(members=s["members"] * 100), "1 to 256 members"),
    (lambda t, s: s.update(members=[]), "1 to 256 members"),
    (lambda t, s: s.update(members={"a": 1}), "1 to 256 members"),
    (lambda t, s: s["members"][0].update(metrics="no"), "damaged front"),
    (lambda t, s: s["members"][0]["metrics"]["toys"]["val"].clear(), "miou"),
    (lambda t, s: s.update(version=2), "of version 2"),
    (lambda t, s: s.pop("metric"), "metric"),
])  # fmt: skip
def test_a_front_that_cannot_be_is_one_line(file, tmp_path, change, words):
    path = changed(file, tmp_path / "x.safetensors", change)
    with pytest.raises(WeightsError, match="damaged front") as caught:
        Front(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_kernels_of_another_shape_are_found_when_a_member_is_taken(file, tmp_path):
    path = changed(file, tmp_path / "x.safetensors", lambda t, s: t.update({"bn1.weight": torch.ones(5)}))
    with pytest.raises(WeightsError, match=r"bn1.weight has shape \(5,\), not \(24,\)"):
        Front(path).extract()


def test_tampered_and_cut_files(file, tmp_path):
    state, header = load_file(file), read_weights(file)[1]
    state["bn1.weight"] = state["bn1.weight"] + 0.1
    save_file(state, tmp_path / "t.safetensors", metadata=header)
    with pytest.raises(WeightsError, match="not as it was written"):
        Front(tmp_path / "t.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged or no safetensors file"):
        Front(tmp_path / "cut.safetensors")
    with pytest.raises(FileNotFoundError):
        Front(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="is no front"):
        Front(write(small_network(), tmp_path / "one.safetensors"))


# -- choosing --------------------------------------------------------------------------------------------------
def test_the_best_within_limits(file):
    front = Front(file)
    assert front.pick() == front.best == front.members[-1]
    for member in front.members:
        assert front.pick(max_macs=member.macs) == member
        within = [m for m in front.members if m.params <= member.params]
        assert front.pick(max_params=member.params) == within[-1]
        assert front[member.name] == member and front.extract(member.name).arch == member.arch
    with pytest.raises(LookupError, match=r"0 members of .* begin with 'nobody'; there are "):
        front["nobody"]


def test_a_budget_below_the_smallest_says_what_the_smallest_needs(file):
    front = Front(file)
    with pytest.raises(BudgetError, match="the smallest needs max_macs=") as caught:
        front.pick(max_macs="1k")
    need = str(caught.value).rpartition("=")[2].strip('"')
    assert front.pick(max_macs=need) == front.members[0]
    with pytest.raises(BudgetError, match="max_params="):
        front.pick(max_params=5, max_macs="9G")


def test_few_members_are_timed_and_none_again(file, clock):
    front = Front(file)
    limit = front.members[4].macs / 1e6 + 1e-9
    assert front.pick(max_latency_ms=limit) == front.members[4]
    assert 0 < len(clock) <= 4, clock
    before = list(clock)
    assert Front(file).pick(max_latency_ms=f"{limit}ms") == front.members[4] and clock == before
    assert front.pick(max_latency_ms=limit, max_macs=front.members[2].macs) == front.members[2]
    with pytest.raises(BudgetError, match=r'the smallest needs max_latency_ms="[\d.]+ms" on cpu') as caught:
        front.pick(max_latency_ms=1e-6)
    need = str(caught.value).partition('"')[2].partition('"')[0]
    assert front.pick(max_latency_ms=need) == front.members[0]


def test_a_spoilt_cache_is_timed_anew(file, clock):
    front = Front(file)
    front.pick(max_latency_ms="1s")
    for spoilt in (b"\xff", b"[1]", b'{"a": "b"}', b"{", file_of_times().read_bytes().replace(b": ", b": -")):
        file_of_times().write_bytes(spoilt)
        clock.clear()
        assert front.pick(max_latency_ms="1s") == front.best and clock


def file_of_times():
    return cache_folder() / latency.FILE


def test_each_engine_and_dtype_is_timed_for_itself(file, clock):
    front, ms = Front(file), [m.macs / 1e6 for m in Front(file).members]
    limit = ms[2] + 1e-9
    assert front.pick(max_latency_ms=limit) == front.members[2]
    twice = [m for m, t in zip(front.members, ms, strict=True) if t / 2 <= limit][-1]
    fourth = [m for m, t in zip(front.members, ms, strict=True) if t / 4 <= limit][-1]
    assert front.pick(max_latency_ms=limit, engine="openvino") == twice != front.members[2]
    assert front.pick(max_latency_ms=limit, engine="openvino", dtype="bfloat16") == fourth
    before = list(clock)
    segmenter = scalenet.Segmenter  # picks by its own engine, out of what was timed
    assert Front(file).pick(max_latency_ms=limit, engine="openvino", dtype="bfloat16") == fourth
    assert segmenter(file, "cpu", max_latency_ms=limit).trained_size == front.members[2].arch.input_size
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert clock == before and front.pick(max_latency_ms=limit) == front.members[2]
    finally:
        torch.set_num_threads(threads)
    assert len(clock) > len(before), "other threads, other times"
    with pytest.raises(BudgetError, match="on cpu by openvino"):
        front.pick(max_latency_ms=1e-6, engine="openvino")


# -- doors -----------------------------------------------------------------------------------------------------
@pytest.fixture
def shipped(file, tmp_path, monkeypatch):
    """The small front as that of scalenet_s0, and no other."""
    monkeypatch.setattr(pretrained, "FILES", tmp_path)
    (tmp_path / "scalenet_s0.front.safetensors").write_bytes(file.read_bytes())


def test_registered_names_find_their_front(shipped):
    front = Front("scalenet_s0")
    small = create_model("scalenet_s0", pretrained=True, max_macs=front.members[0].macs)
    assert small.arch == front.members[0].arch
    assert create_model("scalenet_s0", True, max_params="9M", num_classes=3).num_classes == 3
    assert Front("scalenet_s0.camvid").members == front.members
    for name in ("scalenet_s0.person", "scalenet_s1", "scalenet_p0_bottomup"):
        with pytest.raises(LookupError, match=f"no front is published for {name}, only one network; build one"):
            create_model(name, pretrained=True, max_macs="1G")


@pytest.mark.parametrize("name", ["scalenet_s0", "scalenet_p0", "scalenet_p0_bottomup"])
def test_a_registered_name_without_limits_is_the_network_that_it_was(name):
    entry, model = pretrained.find_entry(name), create_model(name, pretrained=True)
    state = read_weights(entry.path)[0]
    assert model.arch.digest == entry.arch.digest and model.arch.input_size == entry.input_size
    ours = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert all(torch.equal(v, state[k].float()) for k, v in ours.items())
    front = Front(name)
    for member in front.members:
        if (member.arch.digest, member.arch.input_size) == (model.arch.digest, model.arch.input_size):
            got = front.extract(member).state_dict()
            assert all(torch.equal(got[k], v) for k, v in ours.items()), "and the member that is it is it"


@pytest.mark.parametrize("options", [{"features_only": True}, {"in_chans": 1}, {"checkpoint_path": "a.safetensors"}])
def test_a_budget_goes_with_no_other_weights(shipped, options):
    with pytest.raises(TypeError, match=f"cannot be combined with {next(iter(options))}"):
        create_model("scalenet_s0", pretrained=True, max_macs="1G", **options)
    with pytest.raises(TypeError, match="cannot be combined with pretrained=False"):
        create_model("scalenet_s0", max_macs="1G")


def test_a_folder_holds_a_front_and_its_card(file, tmp_path):
    front = Front(file)
    folder = scalenet.save_pretrained(front, tmp_path / "folder")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "front.safetensors", "front.svg"]
    assert Front(f"local-dir:{folder}").members == front.members
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: scalenet\npipeline_tag: image-segmentation\n") and "- timm" not in card
    assert front.table() in card and "front.svg" in card and "- Terms: toys" in card and "# toys.front" in card
    with pytest.raises(TypeError, match="a network of this package is needed, got str"):
        scalenet.save_pretrained("toys", tmp_path / "none")


def test_a_front_comes_from_the_hub(file, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "scalenet.engines.front.hub_file", lambda *asked: asked == ("a/b", "front.safetensors", "v1") and file
    )
    assert Front("hf-hub:a/b@v1").members == Front(file).members


def test_plots_and_tables(file, tmp_path):
    front = Front(file)
    picture = front.plot(tmp_path / "f.svg", front.members[2]).read_text()
    assert picture.startswith("<svg") and picture.count("<circle") == 8 and picture.count('r="9"') == 1
    assert all(m.name in picture and m.name in front.table() for m in front.members)
    with pytest.raises(ValueError, match=r"ends in \.svg, not f\.png"):
        front.plot(tmp_path / "f.png")
