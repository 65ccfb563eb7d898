"""timm's hub form, from a folder: what is saved comes back equal, and says clearly when it is something else."""

import json
import random

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

import scalenet
from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import CAMVID, LSP, Labels
from scalenet.models.checkpoint import WeightsError
from scalenet.models.info import model_info
from scalenet.models.provenance import metadata_of, start_terms

from ..conftest import TINY

FILES = {"config.json", "model.safetensors", "README.md"}


def network(task="segmentation", head=None, **kwargs):
    arch = SearchSpace(task, 8, (48, 64), **TINY).sample(random.Random(1)).replace(name="tiny")
    return scalenet.ScaleNet(arch, task=head, **kwargs).eval()


def same(a, b, x):
    with torch.inference_mode():
        a, b = a(x), b(x)
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
    return all(torch.equal(p, q) for p, q in pairs)


CASES = {
    "segmentation": lambda: network(num_classes=11, labels=CAMVID),
    "pose": lambda: network("pose", num_classes=14, labels=LSP),
    "bottom-up": lambda: network("pose", "bottomup", num_classes=7),
    "four channels": lambda: network(num_classes=3, in_chans=4),
    "no head": lambda: network(num_classes=0),
    "generic": lambda: timm.create_model("scalenet", arch=network().arch.to_dict(), num_classes=5).eval(),
    "bottom-up task": lambda: timm.create_model("scalenet", arch=network("pose").arch, task="bottomup").eval(),
    "registered": lambda: timm.create_model("scalenet_s0", num_classes=6).eval(),
}


@pytest.mark.parametrize("case", CASES)
def test_saved_networks_come_back(case, tmp_path):
    model = CASES[case]()
    folder = scalenet.save_pretrained(model, tmp_path / "net")
    assert {p.name for p in folder.iterdir()} == FILES
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert again.arch == model.arch and again.task == model.task and again.labels == model.labels
    assert same(model, again, torch.randn(1, model.in_chans, 45, 70))
    twice = timm.create_model(
        f"local-dir:{scalenet.save_pretrained(again, tmp_path / 'twice')}", pretrained=True
    ).eval()
    assert same(model, twice, torch.randn(1, model.in_chans, 45, 70))


def test_a_network_that_has_predicted_can_be_saved(tmp_path):
    model = network(num_classes=11, labels=CAMVID)
    scalenet.Segmenter(model, device="cpu")
    again = timm.create_model(f"local-dir:{scalenet.save_pretrained(model, tmp_path)}", pretrained=True).eval()
    assert torch.equal(again.conv1.weight, model.conv1.weight)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["model_args"].__setitem__("surprise", 1),
        lambda c: c["model_args"].__setitem__("arch", None),
        lambda c: c["model_args"].__setitem__("labels", "abc"),
        lambda c: c["model_args"].__setitem__("in_chans", "a"),
        lambda c: c["pretrained_cfg"].__setitem__("mean", "x"),
        lambda c: c["pretrained_cfg"].__setitem__("std", [0.5]),
        lambda c: c["pretrained_cfg"].__setitem__("input_size", "abc"),
        lambda c: c["model_args"]["labels"].__setitem__("names", list(range(11))),
        lambda c: c["model_args"]["labels"].__setitem__("colours", ["abc"] * 11),
    ],
)
def test_predictors_say_what_a_config_lacks(change, tmp_path):
    folder = scalenet.save_pretrained(network(num_classes=11, labels=CAMVID), tmp_path)
    edit(folder, change)
    with pytest.raises((ValueError, LookupError)):
        scalenet.Segmenter(f"local-dir:{folder}", device="cpu")


def test_another_head_on_saved_weights(tmp_path):
    model = network(num_classes=11, labels=CAMVID)
    folder = scalenet.save_pretrained(model, tmp_path)
    again = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=4)
    assert again.labels is None and again.num_classes == 4
    assert torch.equal(again.last_layer[0].weight, model.last_layer[0].weight)


@pytest.mark.parametrize("other", [{}, {"num_classes": 4}, {"num_classes": 0}, {"features_only": True}])
def test_a_backbone_that_is_not_whole_is_refused_under_any_head(other, tmp_path):
    model = network(num_classes=11, labels=CAMVID)
    folder = scalenet.save_pretrained(model, tmp_path)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("stage4")}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(scalenet.WeightsError, match=r"\d+ of \d+ entries are missing, the first is stage4"):
        timm.create_model(f"local-dir:{folder}", pretrained=True, **other)


def test_predictors_name_the_channels_they_cannot_give(tmp_path):
    model = network(num_classes=11, labels=CAMVID, in_chans=5)
    folder = scalenet.save_pretrained(model, tmp_path)
    with pytest.raises(ValueError, match=r"RGB images .* reads 5 channels"):
        scalenet.Segmenter(f"local-dir:{folder}")
    params = sum(p.numel() for p in model.parameters())
    assert model_info(f"local-dir:{folder}").summary()["params"] == params


def test_the_card_keeps_to_what_is_known(tmp_path):
    scalenet.save_pretrained(network(num_classes=11, labels=CAMVID), tmp_path, "mine")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n") and "# mine" in card and "pedestrian" in card and "Architecture" in card
    assert "Reported" not in card and "Measured" not in card, "figures belong to the published weights alone"


def test_saving_leaves_the_model_as_it_was(tmp_path):
    model = timm.create_model("scalenet_s0").eval()
    before = (dict(model.pretrained_cfg), dict(model._model_args))
    scalenet.save_pretrained(model, tmp_path)
    assert (model.pretrained_cfg, model._model_args) == before


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c["model_args"]["arch"]["stages"][0][0]["depths"].__setitem__(0, 10**9), "depth"),
        (lambda c: c["model_args"]["arch"].__setitem__("width", 10**6), "width"),
        (lambda c: c.__setitem__("architecture", "no_such_net"), "no_such_net"),
        (lambda c: c["model_args"].__setitem__("surprise", 1), "surprise"),
    ],
)
def test_hostile_or_foreign_configs(tmp_path, change, words):
    folder = scalenet.save_pretrained(network(num_classes=3), tmp_path)
    edit(folder, change)
    with pytest.raises((ValueError, RuntimeError, TypeError), match=words):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(FileNotFoundError, match="Config file not found"):
        scalenet.create_model(f"local-dir:{tmp_path}", pretrained=True)


def test_a_header_that_lies(tmp_path):
    folder = scalenet.save_pretrained(network(num_classes=3), tmp_path)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[:8] = (1 << 40).to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(Exception, match=r"(?i)header"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_a_folder_of_pickled_or_damaged_weights(tmp_path):
    folder = scalenet.save_pretrained(network(num_classes=3), tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged or another network's"):
        scalenet.create_model(f"local-dir:{folder}", pretrained=True)
    weights.unlink()
    torch.save(network(num_classes=3).state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="scalenet convert alone"):
        scalenet.create_model(f"local-dir:{folder}", pretrained=True)


def test_where_weights_are_from_travels_with_a_folder(tmp_path):
    model = scalenet.create_model("scalenet_s0", pretrained=True)
    folder = scalenet.save_pretrained(model, tmp_path / "one")
    again = scalenet.create_model(f"local-dir:{folder}", pretrained=True)
    assert metadata_of(again) == metadata_of(model) and "research only" in metadata_of(again).terms
    twice = scalenet.save_pretrained(again, tmp_path / "two")
    assert "research only" in (twice / "README.md").read_text()
    with torch.no_grad():
        again.conv1.weight.mul_(2)
        again.bn1.bias.add_(1)
    assert metadata_of(again) is None and "research only" in start_terms(again)
    changed = scalenet.save_pretrained(again, tmp_path / "three")
    said = json.loads((changed / "config.json").read_text())["metadata"]
    assert set(said) == {"format_version", "datasets", "license", "license_id"}, "of changed weights no metrics"
    again = scalenet.create_model(f"local-dir:{changed}", pretrained=True)
    assert metadata_of(again) is None and "research only" in start_terms(again)
    strange = {"figures": "many", "usable": "no", "terms": 7, "x": 1}
    edit(folder, lambda c: (c.pop("metadata"), c.__setitem__("origin", strange)))
    assert metadata_of(scalenet.create_model(f"local-dir:{folder}", pretrained=True)) is None


def test_wrapped_networks_can_be_saved_and_others_not(tmp_path):
    model = network(num_classes=3)
    for name, wrapped in (("compiled", torch.compile(model)), ("parallel", torch.nn.DataParallel(model))):
        folder = scalenet.save_pretrained(wrapped, tmp_path / name)
        again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert same(model, again, torch.randn(1, 3, 45, 70))
    with pytest.raises(TypeError, match="a network of this package is needed, got Linear"):
        scalenet.save_pretrained(torch.nn.Linear(1, 1), tmp_path / "no")


@pytest.mark.parametrize("arch", ["object", "file"])
def test_timms_own_saving_stores_the_encoding(arch, tmp_path):
    mine = network().arch
    (tmp_path / "mine.json").write_text(mine.to_json())
    given = mine if arch == "object" else str(tmp_path / "mine.json")
    model = timm.create_model("scalenet", arch=given, num_classes=3, labels=Labels.plain(3)).eval()
    timm.models.save_for_hf(model, tmp_path / "folder")
    (tmp_path / "mine.json").unlink()
    again = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True).eval()
    x = torch.rand(1, 3, 32, 32)
    assert again.arch == mine and again.labels == model.labels
    torch.testing.assert_close(again(x), model(x))


def test_a_folders_weights_file_names_the_network_too(tmp_path):
    model = network(num_classes=3, labels=Labels.plain(3))
    scalenet.save_pretrained(model, tmp_path)
    image = np.zeros((32, 32, 3), np.uint8)
    read = scalenet.Segmenter(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(read(image).mask, scalenet.Segmenter(model, device="cpu")(image).mask)
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="no architecture"):
        scalenet.Segmenter(tmp_path / "model.safetensors")
