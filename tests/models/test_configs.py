"""A config.json that says what cannot be: whatever is changed in one, doors work or say in one line what is wrong."""

import json
import re
import shutil
from functools import reduce

import pytest
import timm

import scalenet
from scalenet import cli
from scalenet.archs.arch import ArchError
from scalenet.data.labels import COCO, Labels, LabelsError
from scalenet.models.checkpoint import WeightsError
from scalenet.models.metadata import CheckpointMetadata
from scalenet.models.provenance import mark
from scalenet.models.repository import MAX_CONFIG_BYTES

from ..small_networks import small_network

DOCUMENTED = (WeightsError, ArchError, LookupError)
LEAVE_OUT = "leave it out"
VALUES = (LEAVE_OUT, None, True, -1, 10**30, 1.5, "abc", [], [1, "a"], {"a": [1]}, float("nan"))
PATHS = (
    "architecture", "num_classes", "num_features", "label_names", "metadata", "metadata.figures",
    "model_args", "model_args.arch", "model_args.task", "model_args.labels", "model_args.in_chans",
    "model_args.num_classes", "model_args.features_only", "model_args.out_indices", "model_args.pretrained",
    "model_args.labels.names", "model_args.labels.colours", "model_args.labels.partners", "model_args.labels.sigmas",
    "model_args.arch.width", "model_args.arch.stages", "pretrained_cfg", "pretrained_cfg.input_size",
    "pretrained_cfg.test_input_size", "pretrained_cfg.num_classes", "pretrained_cfg.mean", "pretrained_cfg.std",
    "pretrained_cfg.interpolation", "pretrained_cfg.crop_pct", "pretrained_cfg.classifier", "pretrained_cfg.first_conv",
    "pretrained_cfg.label_offset", "pretrained_cfg.custom_load", "pretrained_cfg.fixed_input_size",
    "pretrained_cfg.pool_size", "pretrained_cfg.url", "pretrained_cfg.hf_hub_filename", "pretrained_cfg.surprise",
)  # fmt: skip
# what timm itself trips over before it asks this package, and what is no predictor's but a network all the same
OF_TIMM = ("pretrained", "test_input_size", "input_size", "features_only")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    net = small_network(depths=(1, 1))
    mark(net, CheckpointMetadata(terms="any", metrics={"camvid": {"val": {"miou": 0.5}}}))
    return scalenet.save_pretrained(net, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def changed(saved, tmp_path):
    """A function that makes a folder whose config has another value under a path."""
    folder = tmp_path / "net"
    shutil.copytree(saved, folder)

    def write(path, value):
        config = json.loads((saved / "config.json").read_text())
        *parents, key = path.split(".")
        place = reduce(lambda at, parent: at[parent], parents, config) if parents else config
        if value is LEAVE_OUT:
            place.pop(key, None)
        else:
            place[key] = value
        (folder / "config.json").write_text(json.dumps(config))
        return f"local-dir:{folder}"

    return write


@pytest.mark.parametrize("path", PATHS)
def test_a_door_works_or_says_what_is_wrong(changed, path):
    for value in VALUES:
        name = changed(path, value)
        try:
            scalenet.Segmenter(name, device="cpu")
        except DOCUMENTED as e:
            assert name in str(e) and "\n" not in str(e), (path, value)
            if path.startswith(("model_args.", "pretrained_cfg.")) and not path.endswith(OF_TIMM):
                with pytest.raises(DOCUMENTED, match=re.escape(name)):
                    timm.create_model(name, pretrained=True)


@pytest.mark.parametrize("door", [scalenet.create_model, timm.create_model])
def test_a_configs_text_opens_no_file(changed, tmp_path, door):
    arch = small_network(depths=(1, 1)).arch
    (tmp_path / "mine.json").write_text(arch.to_json())
    for text in (str(tmp_path / "mine.json"), "scalenet_/../scalenet_s0", "scalenet", "hrnet_w²"):
        with pytest.raises(ArchError, match="an architecture or a registered name is needed"):
            door(changed("model_args.arch", text))
    assert door(changed("model_args.arch", "hrnet_w8")).arch.width == 8
    assert door("scalenet", arch=str(tmp_path / "mine.json")).arch == arch, "a caller's own text does"


def test_commands_say_it_in_one_line(changed, tmp_path, capsys):
    for path, value in (("num_classes", "many"), ("model_args.in_chans", [3]), ("pretrained_cfg.input_size", 3)):
        assert cli.main(["info", changed(path, value)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and path.rpartition(".")[2] in err
    for text in ("[" * 10**5, "[1]", "7", '{"architecture": ["a"]}', "1" * 5000, " " * (MAX_CONFIG_BYTES + 1)):
        (tmp_path / "net" / "config.json").write_text(text)
        assert cli.main(["info", f"local-dir:{tmp_path / 'net'}"]) == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_callers_typo_is_the_callers(changed):
    with pytest.raises(TypeError, match="num_clases"):
        scalenet.create_model(changed("num_features", None), num_clases=3)


@pytest.mark.parametrize(
    "change", [{"names": "abc"}, {"partners": [[1, 2, 3]]}, {"partners": [5]}, {"sigmas": ["a"] * 17}, {"colours": 7}]
)
def test_labels_of_wrong_types(change):
    with pytest.raises(LabelsError):
        Labels.from_dict(COCO.to_dict() | change)
