"""The table of weights against truth; weight files found, verified, read strictly; whose metrics a card may show."""

import dataclasses
import json
import re

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import HTTPError

import scalenet
from scalenet import cli
from scalenet.archs.arch import SearchSpace
from scalenet.archs.cost import count
from scalenet.data.labels import CAMVID, COCO, Labels
from scalenet.models import checkpoint, pretrained
from scalenet.models.checkpoint import WeightsError, save_weights
from scalenet.models.convert import convert_checkpoint
from scalenet.models.factory import load_model
from scalenet.models.info import markdown_table, registered_info
from scalenet.models.metadata import CheckpointMetadata
from scalenet.models.model_card import model_card
from scalenet.models.old_metadata import SUPERNET_STATISTICS
from scalenet.models.provenance import mark, metadata_of
from scalenet.nn.network import ScaleNet

from ..conftest import TINY
from ..small_networks import small_network, write
from ..test_ground import ROOT

ENTRIES = {f"{e.name}.{e.tag}": e for e in pretrained.TABLE}
DATA_SETS = {"segmentation": ("camvid", "cityscapes", "people_masks"), "pose": ("coco",), "bottomup": ("coco",)}


# -- the table ---------------------------------------------------------------------------------------------------
def test_the_table_is_the_registry():
    assert len(ENTRIES) == len(pretrained.TABLE)
    assert {e.name for e in pretrained.TABLE} == set(scalenet.list_models()) - {"scalenet"}
    assert {k for k, e in ENTRIES.items() if e.is_file} == {
        n for n in scalenet.list_models(pretrained=True) if "." in n
    }


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_true(key):
    entry = ENTRIES[key]
    cost = count(entry.arch, entry.input_size, task=entry.task, outputs=len(entry.labels.names))
    doc = (timm.model_entrypoint(entry.name).__doc__ or "").replace("\n", " ")
    if entry.authors_file:
        assert f"{cost.params:,} parameters, {cost.macs / 1e9:.3f} GMACs" in doc
        size = f"w{entry.arch.width}" + (
            f"_{entry.input_size[0]}x{entry.input_size[1]}" if entry.task == "pose" else ""
        )
        assert entry.authors_file.endswith(size) and entry.authors_file.startswith(("superscalenet_", "scalenet_P"))
    cfg = timm.get_pretrained_cfg(key)
    assert cfg.num_classes == len(entry.labels.names) == len(entry.labels.colours)
    assert {k: getattr(cfg, k) for k in entry.recipe} == dict(entry.recipe) and cfg.input_size == (3, *entry.input_size)
    assert entry.labels.dataset in DATA_SETS[entry.task]
    if entry.task != "segmentation":
        assert entry.labels.skeleton and entry.labels.sigmas and entry.labels.flip_pairs
    if entry.is_file:
        assert checkpoint.digest_of(entry.path) == entry.sha256 and entry.command.startswith("scalenet ")
    if entry.hub_id:
        assert entry.sha256 and len(entry.revision) == 40, "what is downloaded is pinned and checked"


def test_the_readmes_table_is_made_from_it():
    made = markdown_table(f.summary() for f in sorted(registered_info(), key=lambda f: f.name))
    assert f"<!-- made by scalenet list --markdown -->\n{made}\n\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("key", [k for k, e in ENTRIES.items() if e.authors_file])
def test_no_weights_names_three_ways_on(key):
    with pytest.raises(checkpoint.NoWeights) as error:
        scalenet.create_model(key, pretrained=True)
    text = str(error.value)
    assert isinstance(error.value, LookupError) and isinstance(error.value, RuntimeError)
    for words in (
        f"{ENTRIES[key].authors_file}.pth",
        "Google Drive",
        "scalenet convert",
        "python -m training",
        "hf-hub:",
    ):
        assert words in text
    assert "\n" not in text


def test_another_file_is_refused(tmp_path):
    (tmp_path / "w").write_bytes(b"other")
    checkpoint.verify(tmp_path / "w", "")
    checkpoint.verify(tmp_path / "w", checkpoint.digest_of(tmp_path / "w"))
    with pytest.raises(WeightsError, match=r"SHA-256 .* was published: damaged or replaced"):
        checkpoint.verify(tmp_path / "w", "0" * 64)


def test_a_replaced_file_of_the_package_is_refused(tmp_path, monkeypatch):
    data = bytearray((pretrained.FILES / "scalenet_s0.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "scalenet_s0.safetensors").write_bytes(bytes(data))
    monkeypatch.setattr(pretrained, "FILES", tmp_path)
    cfg = timm.get_pretrained_cfg("scalenet_s0")
    for given in (None, "camvid", dataclasses.replace(cfg, file=str(tmp_path / "scalenet_s0.safetensors"))):
        with pytest.raises(WeightsError, match="SHA-256"):
            timm.create_model("scalenet_s0", pretrained=True, pretrained_cfg=given)


def test_a_cfg_taken_from_timm_brings_the_labels():
    model = timm.create_model("scalenet_s0", pretrained=True, pretrained_cfg=timm.get_pretrained_cfg("scalenet_s0"))
    assert model.labels == CAMVID and metadata_of(model).metrics["camvid"]["val"]["miou"] > 0.5


def test_checkpoint_path_reads_safetensors_alone_and_features_too(tmp_path):
    with pytest.raises(WeightsError, match="scalenet convert alone"):
        scalenet.create_model("scalenet_s0", checkpoint_path=str(tmp_path / "x.pth"))
    with pytest.raises(FileNotFoundError, match=r"no weights file .*x\.safetensors"):
        scalenet.create_model("scalenet_s0", checkpoint_path=str(tmp_path / "x.safetensors"))
    path = str(pretrained.FILES / "scalenet_s0.safetensors")
    with pytest.raises(WeightsError, match="damaged or another network's"):
        scalenet.create_model("scalenet_p0", checkpoint_path=path)
    features = scalenet.create_model("scalenet_s0", features_only=True, checkpoint_path=path).eval()
    whole = scalenet.create_model("scalenet_s0", pretrained=True, features_only=True).eval()
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(features(x), whole(x), strict=True))


@pytest.mark.parametrize("error", [HTTPError("peer closed\nthe connection"), RuntimeError("xet broke off")])
def test_a_download_that_breaks_off_is_one_line(error, monkeypatch, capsys):
    def download(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(OSError, match=r"hf-hub:user/net: config.json was not downloaded \(.*\); try again"):
        scalenet.create_model("hf-hub:user/net")
    assert cli.main(["info", "hf-hub:user/net"]) == 2 and capsys.readouterr().err.count("\n") == 1
    with pytest.raises(LookupError, match="hf-hub:user/a/b"):
        monkeypatch.undo()
        scalenet.create_model("hf-hub:user/a/b")


# -- files -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task, labels", [("segmentation", CAMVID), ("pose", COCO), ("bottomup", COCO)])
def test_a_file_is_the_network(task, labels, tmp_path):
    net = small_network(task, labels)
    again = load_model(write(net, tmp_path / "net.safetensors"))
    assert again.arch == net.arch and again.labels == labels and again.task == task and not again.training
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    again.train()
    y = again(torch.randn(2, 3, 64, 64))
    (y if torch.is_tensor(y) else y[2]).square().mean().backward()
    torch.optim.SGD(again.parameters(), 0.1).step()
    assert not torch.equal(again.conv1.weight, net.conv1.weight)
    kept = checkpoint.read_weights(tmp_path / "net.safetensors")[0]["conv1.weight"]
    assert torch.equal(kept, net.conv1.weight), "training a network leaves its file alone"


def test_half_precision_files_other_channels_and_no_labels(tmp_path):
    arch = SearchSpace("pose", 8, (64, 64), **TINY).hrnet()
    net = ScaleNet(arch, num_classes=5, in_chans=4)
    save_weights(tmp_path / "half.safetensors", net.state_dict(), {"arch": arch.to_json()}, half=True)
    again = load_model(tmp_path / "half.safetensors")
    assert again.in_chans == 4 and again.num_classes == 5 and again.labels is None
    assert {p.dtype for p in again.parameters()} == {torch.float32} and all(p.requires_grad for p in again.parameters())
    torch.testing.assert_close(again.conv1.weight, net.conv1.weight, atol=1e-3, rtol=1e-3)


def rewritten(path, change):
    state, metadata = checkpoint.read_weights(path)
    state, metadata = {k: v.clone() for k, v in state.items()}, dict(metadata)
    change(state, metadata)
    return save_weights(path, state, metadata)


def deep(state, metadata):
    arch = json.loads(metadata["arch"])
    arch["stages"][0][0]["depths"][0] = 10**9
    metadata["arch"] = json.dumps(arch)


def widen(metadata, width):
    metadata["arch"] = json.dumps(json.loads(metadata["arch"]) | {"width": width})


STRANGE = {
    "no architecture": (lambda s, m: m.pop("arch"), "no architecture"),
    "not JSON": (lambda s, m: m.update(arch="{"), "not JSON"),
    "deep": (deep, "1000000000"),
    "wide, on few tensors": (lambda s, m: widen(m, 128), "has shape"),
    "beyond measure": (lambda s, m: widen(m, 1024), "more than 1,073,741,824 parameters"),
    "unknown task": (lambda s, m: m.update(task="sing"), "task must be"),
    "labels of another kind": (lambda s, m: m.update(labels="[1]"), "labels"),
    "fewer labels": (lambda s, m: m.update(labels=json.dumps(COCO.to_dict())), r"last_layer\.3\.weight has shape"),
    "an entry more": (lambda s, m: s.update(extra=torch.ones(1)), "1 are unexpected, the first is extra"),
    "an entry less": (lambda s, m: s.pop("conv1.weight"), "1 of .* are missing, the first is conv1.weight"),
    "a flat stem": (lambda s, m: s.update({"conv1.weight": torch.ones(3)}), r"conv1\.weight has shape"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_strange_files_are_refused(case, tmp_path):
    change, words = STRANGE[case]
    path = rewritten(write(small_network(), tmp_path / "net.safetensors"), change)
    with pytest.raises(WeightsError, match=words) as error:
        load_model(path)
    assert "net.safetensors" in str(error.value)


def converted(net, file, folder):
    convert_checkpoint(file, folder / "out.safetensors", net.arch)


DOORS = {
    "a file": lambda net, file, folder: load_model(file),
    "a folder": lambda net, file, folder: load_model(f"local-dir:{folder}"),
    "timm's folder": lambda net, file, folder: timm.create_model(f"local-dir:{folder}", pretrained=True),
    "features": lambda net, file, folder: scalenet.create_model(
        f"local-dir:{folder}", pretrained=True, features_only=True
    ),
    "checkpoint_path": lambda net, file, folder: scalenet.create_model(
        "scalenet", arch=net.arch, num_classes=11, checkpoint_path=str(file)
    ),
    "an overlay": lambda net, file, folder: timm.create_model(
        "scalenet", arch=net.arch, num_classes=11, pretrained=True, pretrained_cfg_overlay={"file": str(file)}
    ),
    "convert": converted,
}


@pytest.mark.parametrize("door", DOORS)
def test_all_doors_say_the_same_of_another_networks_weights(door, tmp_path):
    def spoil(state, metadata):
        state["stage9.weight"] = state.pop("bn1.weight")
        state["conv2.weight"] = torch.zeros(1, 2)

    net = small_network()
    folder = scalenet.save_pretrained(net, tmp_path / "net")
    DOORS[door](net, write(net, tmp_path / "net.safetensors"), folder)
    file = rewritten(tmp_path / "net.safetensors", spoil)
    rewritten(folder / "model.safetensors", spoil)
    with pytest.raises(WeightsError) as error:
        DOORS[door](net, file, folder)
    for words in (
        r"damaged or another network's weights: 1 of \d+ entries are missing, the first is bn1\.weight; ",
        r"; 1 are unexpected, the first is stage9\.weight; ",
        r"; 1 of another shape: conv2\.weight has shape \(1, 2\), not \(24, 24, 3, 3\); give the network",
    ):
        assert re.search(words, str(error.value)), error.value


@pytest.mark.parametrize(
    "damage", [lambda d: d[: len(d) // 2], lambda d: (1 << 40).to_bytes(8, "little") + d[8:], lambda d: b""]
)
def test_damaged_files_are_refused(damage, tmp_path):
    path = write(small_network(), tmp_path / "net.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match="damaged or no safetensors file"):
        load_model(path)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.safetensors")


def test_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"before")

    def break_off(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", break_off)
    with pytest.raises(OSError, match="disk full"):
        save_weights(path, {"a": torch.ones(1)}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"] and path.read_bytes() == b"before"


def test_weights_of_whole_numbers_are_refused(tmp_path):
    net = small_network()
    state = {k: v.to(torch.int8) if v.ndim == 4 else v for k, v in net.state_dict().items()}
    save_weights(tmp_path / "int.safetensors", state, {"arch": net.arch.to_json()})
    with pytest.raises(WeightsError, match=r"conv1\.weight holds torch\.int8"):
        load_model(tmp_path / "int.safetensors")
    deep = {"arch": net.arch.to_json(), "labels": "[" * 10**5}
    save_weights(tmp_path / "deep.safetensors", net.state_dict(), deep)
    with pytest.raises(WeightsError):
        load_model(tmp_path / "deep.safetensors")


# -- whose metrics -----------------------------------------------------------------------------------------------
def test_metrics_belong_to_the_weights_they_were_measured_on():
    model = scalenet.create_model("scalenet_s0", pretrained=True)
    card = model_card(model, "s0")
    assert (
        "### Measured" in card
        and "0.8278" in card
        and "val was trained on too" in card
        and "research only" in card
        and "### Reported" not in card
    )
    assert "Measured" not in model_card(scalenet.create_model("scalenet_s0"), "random")
    assert "Measured" not in model_card(scalenet.create_model("scalenet_s0", pretrained=True, num_classes=4), "head")
    headed = model_card(scalenet.create_model("scalenet_s0", pretrained=True, num_classes=4), "head")
    assert "research only" in headed, "the terms of the images stay on what is made of the weights"
    with torch.no_grad():
        model.stage4[0].branches[0][0].bn1.running_mean.add_(0.01)
    assert metadata_of(model) is None and "Measured" not in model_card(model, "trained on")
    assert "It began from weights with these: trained on CamVid" in model_card(model, "trained on")


def test_reported_metrics_need_the_authors_weights_with_statistics_of_their_own():
    model = scalenet.create_model("scalenet_s1")
    assert "Reported" not in model_card(model, "random")
    source = {"network": "scalenet_s1.cityscapes", "source": "superscalenet_seg_w32.pth", "source_sha256": "ab12"}
    mark(model, CheckpointMetadata.from_dict(source | {"batchnorm": SUPERNET_STATISTICS}))
    card = model_card(model, "raw")
    assert "Reported" not in card and "recalibrate" in card and "superscalenet_seg_w32.pth, SHA-256 ab12" in card
    mark(model, CheckpointMetadata.from_dict(source | {"batchnorm": "recalibrated on 8 batches"}))
    card = model_card(model, "recalibrated")
    assert "### Reported" in card and "0.805" in card and "### Measured" not in card and "recalibrate on" not in card
    other = small_network()
    mark(other, CheckpointMetadata.from_dict(source))
    assert "Reported" not in model_card(other, "another encoding")


def test_what_is_saved_can_be_read_by_whoever_may_read_new_files(tmp_path):
    model = small_network("segmentation")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    saved = checkpoint.save_weights(tmp_path / "a.safetensors", model.state_dict(), {})
    folder = scalenet.save_pretrained(model, tmp_path / "folder")
    for path in (saved, folder / "model.safetensors"):
        assert path.stat().st_mode == ordinary.stat().st_mode


def test_a_file_says_what_its_outputs_are(tmp_path):
    own = Labels("own", tuple(f"thing{i}" for i in range(11)))
    source = scalenet.create_model("scalenet_s0", pretrained=True)
    source.name_outputs(own)
    path = str(write(source, tmp_path / "own.safetensors"))
    assert scalenet.create_model("scalenet_s0", checkpoint_path=path).labels == own
    assert load_model("scalenet_s0", path).labels == own
    assert scalenet.create_model("scalenet_s0", checkpoint_path=path, labels=CAMVID).labels == CAMVID
