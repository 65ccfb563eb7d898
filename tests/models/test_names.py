"""What a name means is asked in one place, and all doors give its answer."""

import shutil

import pytest
import torch

import scalenet
from scalenet import cli
from scalenet.app.networks import Networks
from scalenet.models.checkpoint import WeightsError
from scalenet.models.factory import load_model, weights_file
from scalenet.models.names import ModelName, parse_name
from scalenet.models.pretrained import FILES

from ..small_networks import small_network, write

NAMES = {
    "scalenet_s0": ModelName("registered", "scalenet_s0"),
    "scalenet_s0.person": ModelName("registered", "scalenet_s0", tag="person"),
    "hf-hub:user/net": ModelName("hub", "user/net"),
    "hf_hub:user/net.v2@main": ModelName("hub", "user/net.v2", revision="main"),
    "hf-hub:user/net.safetensors": ModelName("hub", "user/net.safetensors"),
    "local-dir:/a/b@c": ModelName("folder", "/a/b@c"),
    "local-dir:a@b@c:d.safetensors": ModelName("folder", "a@b@c:d.safetensors"),
    "a/b:c@d.safetensors": ModelName("file", "a/b:c@d.safetensors"),
}
WRONG = {
    "scalenet_s11": "did you mean scalenet_s1",
    "scalenet_s0.cityscapes": "there is camvid",
    "user/net": "use hf-hub:user/net",
    "hf-hub:": r"hf-hub:user/name\[@revision\]",
    "hf-hub:user/net@a@b": r"hf-hub:user/name\[@revision\]",
    "hub:user/net": r"hf-hub:user/name\[@revision\]",
    ".": "use local-dir:",
}


@pytest.mark.parametrize("text", NAMES)
def test_a_name_means_one_thing(text):
    assert parse_name(text) == NAMES[text]
    assert parse_name(str(parse_name(text))) == NAMES[text]


@pytest.mark.parametrize("text", WRONG)
def test_what_names_nothing_says_what_would(text):
    with pytest.raises(LookupError, match=WRONG[text]):
        parse_name(text)
    with pytest.raises(LookupError, match=WRONG[text]):
        scalenet.create_model(text)
    with pytest.raises(LookupError, match=WRONG[text]):
        Networks({"segmentation": [text]})
    assert cli.main(["info", text]) == 2


def test_a_pickled_files_name_is_refused():
    with pytest.raises(WeightsError, match="scalenet convert alone"):
        parse_name("folder/net.pth")
    with pytest.raises(LookupError, match="checkpoint_path="):
        scalenet.create_model("net.safetensors")


def test_an_at_sign_belongs_to_a_folders_name(tmp_path, capsys):
    net = small_network()
    folder = scalenet.save_pretrained(net, tmp_path / "net@home@2")
    name = f"local-dir:{folder}"
    for again in (load_model(name), load_model(folder / "model.safetensors"), scalenet.create_model(name, True)):
        assert torch.equal(again.conv1.weight, net.conv1.weight)
    assert weights_file(name) == folder / "model.safetensors"
    assert scalenet.Segmenter(name, device="cpu").labels == net.labels
    for command in (["info", name], ["bench", name, "--seconds", "0"]):
        assert cli.main(command) == 0
    assert "net@home@2" in capsys.readouterr().out
    assert Networks({"segmentation": [name]}).names("segmentation") == [name]


def test_the_file_of_a_names_weights(tmp_path):
    file = write(small_network(), tmp_path / "net.safetensors")
    assert weights_file(file) == file and weights_file("scalenet_s0") == FILES / "scalenet_s0.safetensors"
    assert weights_file("scalenet_s0.person") == FILES / "scalenet_s0_person.safetensors"
    with pytest.raises(LookupError, match="no weights are published"):
        weights_file("scalenet_s1")
    folder = scalenet.save_pretrained(small_network(), tmp_path / "folder")
    shutil.copy(file, folder / "other.safetensors")
    assert parse_name(folder / "other.safetensors").kind == "file"
