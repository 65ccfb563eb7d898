"""What is known of weights: one schema, the same through every door; files of earlier versions; hostile values."""

import json
import random
import shutil

import pytest
import timm
import torch
from safetensors.torch import save_file

import scalenet
from scalenet import cli
from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import CAMVID
from scalenet.models import pretrained
from scalenet.models.checkpoint import WeightsError, digest_of, read_metadata, read_weights, save_weights
from scalenet.models.factory import load_checkpoint, load_model
from scalenet.models.info import model_info
from scalenet.models.metadata import CheckpointMetadata
from scalenet.models.model_card import model_card
from scalenet.models.provenance import described, mark, metadata_of, start_terms

from ..conftest import TINY
from ..small_networks import small_network
from ..test_ground import ROOT

SPACE = SearchSpace("segmentation", 8, (64, 80), **TINY)
FULL = CheckpointMetadata(
    arch=SPACE.sample(random.Random(0)), task="segmentation", labels=CAMVID, datasets=("camvid", "tiny_imagenet"),
    preprocessing={"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "interpolation": "bicubic", "crop_pct": 0.9},
    terms="for research only", license="mit", metrics={"camvid": {"val": {"miou": 0.5, "hard": None}}},
    protocol="one scale", command="scalenet evaluate", recipe="s0_supernet", steps=12, minutes=1.5, searched=3,
    init="parent.safetensors", parent_sha256="ab" * 32, batchnorm="recalibrated on 32 training images",
    network="scalenet_s0.camvid", space=SPACE,
)  # fmt: skip
CHECKPOINTS = sorted((ROOT / "training" / "checkpoints").glob("*.safetensors"))
SHIPPED = {f"{e.name}.{e.tag}": e for e in pretrained.TABLE if e.is_file}


def test_it_comes_back_from_either_form():
    assert CheckpointMetadata.from_dict(FULL.header()) == FULL
    assert CheckpointMetadata.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL
    assert all(isinstance(v, str) for v in FULL.header().values())
    assert CheckpointMetadata.from_dict({}) == CheckpointMetadata()
    assert CheckpointMetadata.from_dict({"format": "pt"}) == CheckpointMetadata(), "other people's files"


# -- every door --------------------------------------------------------------------------------------------------
def published(entry):
    return scalenet.create_model(f"{entry.name}.{entry.tag}", pretrained=True)


def written(entry, folder):
    """The published weights in a file of today's form."""
    model = published(entry)
    return save_weights(folder / "new.safetensors", model.state_dict(), metadata_of(model).header())


def saved(entry, folder):
    return scalenet.save_pretrained(published(entry), folder / "folder")


DOORS = {
    "timm": lambda e, d: timm.create_model(f"{e.name}.{e.tag}", pretrained=True),
    "timm's tag": lambda e, d: timm.create_model(e.name, pretrained=True, pretrained_cfg=e.tag),
    "the package's file": lambda e, d: load_model(e.path),
    "a copy of it": lambda e, d: load_model(shutil.copy(e.path, d / "copy.safetensors")),
    "a file": lambda e, d: load_model(written(e, d)),
    "checkpoint_path": lambda e, d: scalenet.create_model(f"{e.name}.{e.tag}", checkpoint_path=str(written(e, d))),
    "checkpoint": lambda e, d: load_model(f"{e.name}.{e.tag}", written(e, d)),
    "folder": lambda e, d: scalenet.create_model(f"local-dir:{saved(e, d)}", pretrained=True),
    "a folder's file": lambda e, d: load_model(saved(e, d) / "model.safetensors"),
    "a folder of a folder": lambda e, d: load_model(
        f"local-dir:{scalenet.save_pretrained(load_model(f'local-dir:{saved(e, d)}'), d / 'again')}"
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_says_the_same(name, door, tmp_path):
    known = metadata_of(scalenet.create_model(name, pretrained=True))
    assert known.metrics and known.steps and known.terms and known.network == name
    model = DOORS[door](SHIPPED[name], tmp_path)
    assert metadata_of(model) == known
    assert model_card(model, "it") == model_card(scalenet.create_model(name, pretrained=True), "it")


@pytest.mark.parametrize("name", SHIPPED)
def test_info_says_the_same_of_a_name_a_file_and_a_folder(name, tmp_path, capsys):
    told = []
    for place in (name, written(SHIPPED[name], tmp_path), f"local-dir:{saved(SHIPPED[name], tmp_path)}"):
        assert cli.main(["info", str(place), "--json"]) == 0
        info = json.loads(capsys.readouterr().out)
        told.append([info[k] for k in ("measured", "protocol", "command", "provenance")])
        told[-1] += [info["weights"][k] for k in ("terms", "license")]
    assert told[0] == told[1] == told[2] and told[0][0] == SHIPPED[name].measured


def test_all_that_is_written_is_shown(tmp_path, capsys):
    model = small_network()
    file = save_weights(tmp_path / "net.safetensors", model.state_dict(), described(model, FULL).header())
    card = model_card(load_model(file), "it")
    assert cli.main(["info", str(file)]) == 0
    info = capsys.readouterr().out
    for text in ("for research only", "s0_supernet", "12 steps", "1.5 minutes", "3 architectures", "parent.safetensors",
                 "ab" * 32, "recalibrated on 32", "one scale", "scalenet evaluate", "camvid val miou"):  # fmt: skip
        assert text in card and text in info, text
    assert "tiny_imagenet" in card and 'license: "mit"' in card


def test_a_files_preprocessing_is_used(tmp_path):
    model = small_network()
    header = described(model, FULL).header() | {"preprocessing": json.dumps(FULL.preprocessing)}
    file = save_weights(tmp_path / "net.safetensors", model.state_dict(), header)
    assert metadata_of(load_model(file)).preprocessing == FULL.preprocessing
    config = timm.data.resolve_model_data_config(load_model(file))
    assert (config["mean"], config["interpolation"]) == ((0.5, 0.4, 0.3), "bicubic")


def test_a_part_of_a_supernet_is_not_what_was_measured(tmp_path):
    net = scalenet.ScaleNet(SPACE.supernet(), num_classes=11, labels=CAMVID)
    file = save_weights(tmp_path / "s.safetensors", net.state_dict(), described(net, FULL).header())
    part = scalenet.ScaleNet(SPACE.smallest(), num_classes=11)
    load_checkpoint(part, file)
    assert metadata_of(part) is None and start_terms(part) == "for research only"


# -- earlier versions --------------------------------------------------------------------------------------------
OLD_METRICS = {
    "of a run": ({"dataset": "camvid", "figures": '{"miou": 0.7}'}, {"camvid": {"val": {"miou": 0.7}}}),
    "deployed": ({"figures": '{"composed crowds val": {"ap": -1}}'}, {"composed crowds": {"val": {"ap": -1}}}),
    "none": ({"figures": "{}"}, {}),
    "not a number": ({"dataset": "x", "figures": '{"ap": NaN, "ar": null}'}, {"x": {"val": {"ap": None, "ar": None}}}),
}


@pytest.mark.parametrize("case", OLD_METRICS)
def test_metrics_of_earlier_files(case):
    said, metrics = OLD_METRICS[case]
    assert CheckpointMetadata.from_dict(said).metrics == metrics


def test_how_earlier_files_were_made():
    read = CheckpointMetadata.from_dict
    space = json.dumps(FULL.to_dict()["space"])
    run = read({"recipe": "s0_supernet", "steps": "10282", "minutes": "80.3", "license": "terms", "space": space})
    assert (run.recipe, run.steps, run.minutes, run.terms, run.space) == ("s0_supernet", 10282, 80.3, "terms", SPACE)
    searched = read({"recipe": '{"supernet": "s", "steps": "7", "minutes": "", "searched": 150}'})
    assert (searched.recipe, searched.steps, searched.minutes, searched.searched) == ("s", 7, 0, 150)
    converted = read({"source": "a.pth", "source_sha256": "ab", "batchnorm": "the file's own", "recipe": "{}"})
    assert converted.parent() == "a.pth, SHA-256 ab" and not converted.batchnorm and not converted.made()
    assert read({"start": "scalenet_s0"}).init == "scalenet_s0" and read({"start": "random"}).init == ""


def test_earlier_hub_configs():
    said = {"network": "scalenet_s0.camvid", "source": "a.pth, SHA-256 ab", "usable": False, "terms": "t",
            "figures": {"camvid val miou": 0.7, "protocol": "p", "command": "c"}, "fingerprint": "f"}  # fmt: skip
    known = CheckpointMetadata.from_origin(said)
    assert known.metrics == {"camvid": {"val": {"miou": 0.7}}} and (known.protocol, known.command) == ("p", "c")
    assert known.parent() == "a.pth, SHA-256 ab" and not known.usable and known.terms == "t"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "training" / "checkpoints").glob("*.safetensors")), ids=lambda p: p.stem
)
def test_the_trained_supernets_are_read(file):
    known = read_metadata(file)
    assert known.space is not None and known.metrics and known.steps and known.terms and known.datasets


# -- hostile values ----------------------------------------------------------------------------------------------
DEEP = "[" * 100_000
HOSTILE = {
    "deep figures": {"figures": DEEP},
    "deep labels": {"labels": DEEP},
    "deep recipe": {"recipe": "x" * (2 << 20)},
    "figures of texts": {"figures": '{"a": {"val": {"miou": "much"}}}', "format_version": "2"},
    "flat figures": {"figures": '{"miou": 0.5}', "format_version": "2"},
    "figures in a list": {"figures": "[1]"},
    "true": {"figures": '{"a val": {"miou": true}}'},
    "many": {"figures": json.dumps({"a val": {str(i): 0 for i in range(10_001)}})},
    "long": {"license": "x" * (2 << 20)},
    "no JSON": {"labels": "{"},
    "steps": {"steps": "[]"},
    "endless steps": {"steps": "1e999"},
    "steps of many digits": {"steps": "9" * 4000},
    "negative": {"minutes": "-1"},
    "a text of minutes": {"minutes": '"long"'},
    "later": {"format_version": "3"},
    "no version": {"format_version": "[1]"},
    "mean": {"preprocessing": '{"mean": [0, 0, "x"]}'},
    "std": {"preprocessing": '{"std": [0, 1, 1]}'},
    "short": {"preprocessing": '{"std": [1]}'},
    "preprocessing": {"preprocessing": "7"},
    "datasets": {"datasets": '{"a": 1}', "format_version": "2"},
    "space": {"space": "[1]"},
    "endless space": {"space": json.dumps(FULL.to_dict()["space"] | {"modules": [1, 10**9, 1]})},
    "arch": {"arch": "[]"},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_values_are_one_line(case, tmp_path, capsys):
    file = tmp_path / "net.safetensors"
    net = small_network()
    save_file(net.state_dict(), file, {"arch": net.arch.to_json()} | HOSTILE[case])
    with pytest.raises(WeightsError, match=r"net\.safetensors: ") as error:
        load_model(file)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert cli.main(["info", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(WeightsError):
        scalenet.create_model("scalenet_s0", checkpoint_path=str(file))


@pytest.mark.parametrize("said", [[], 7, {"format_version": 9}, {"figures": [1]}, {"license": 7}, {"arch": {}}])
def test_hostile_configs_are_one_line(said, tmp_path, capsys):
    folder = scalenet.save_pretrained(small_network(), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"metadata": said}))
    with pytest.raises(WeightsError, match=r"its config\.json"):
        scalenet.create_model(f"local-dir:{folder}", pretrained=True)
    assert cli.main(["info", f"local-dir:{folder}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_network_says_itself_is_not_repeated_in_its_config(tmp_path):
    model = small_network()
    mark(model, FULL)
    config = json.loads((scalenet.save_pretrained(model, tmp_path) / "config.json").read_text())
    assert not {"arch", "task", "labels", "preprocessing"} & set(config["metadata"])
    assert model_info(f"local-dir:{tmp_path}").metadata == metadata_of(model)


def test_published_weights_are_known_by_their_hash(tmp_path):
    entry = SHIPPED["scalenet_s0.camvid"]
    state, header = read_weights(entry.path)
    state = {k: v + 0 for k, v in state.items()}
    state["bn1.bias"] = state["bn1.bias"] + torch.ones(1)
    file = save_weights(tmp_path / "other.safetensors", state, header)
    assert digest_of(file) != entry.sha256 and read_metadata(file).network == ""
