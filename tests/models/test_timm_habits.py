"""What timm's and torch's own helpers ask of a model."""

import pytest
import torch
from timm.optim import create_optimizer_v2, param_groups_layer_decay

import scalenet
from scalenet import WeightsError

from ..small_networks import small_network


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
def test_parameters_are_grouped_by_depth(task):
    from timm.models import group_parameters

    net = small_network(task)
    for coarse in (False, True):
        groups = group_parameters(net, net.group_matcher(coarse=coarse))
        names = [name for group in groups.values() for name in group]
        assert sorted(names) == sorted(name for name, _ in net.named_parameters())
        order = {name: number for number, group in groups.items() for name in group}
        first, last = order["conv1.weight"], max(order.values())
        assert first == 0 and order["layer1.0.conv1.weight"] < order["stage2.0.branches.0.0.conv1.weight"]
        assert order["stage2.0.branches.0.0.conv1.weight"] < order["stage4.0.branches.0.0.conv1.weight"] < last
        assert all(order[f"{name}.weight"] == last for name in net.classifier_names)


def test_layer_decay_and_weight_decay():
    net = small_network()
    groups = param_groups_layer_decay(net, weight_decay=0.1, layer_decay=0.5)
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
    assert len({g["lr_scale"] for g in groups}) > 5 and max(g["lr_scale"] for g in groups) == 1
    optimiser = create_optimizer_v2(net, "sgd", lr=0.1, weight_decay=0.1)
    plain = [p for g in optimiser.param_groups if not g["weight_decay"] for p in g["params"]]
    assert net.no_weight_decay() == set() and {p.ndim for p in plain} == {1}


def test_a_plain_state_dict_is_read_by_checkpoint_path(tmp_path):
    net, path = small_network(), tmp_path / "mine.pt"
    torch.save(net.state_dict(), path)
    options = {"arch": net.arch, "num_classes": 11, "checkpoint_path": str(path)}
    again = scalenet.create_model("scalenet", **options)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())
    features = scalenet.create_model("scalenet", features_only=True, **options)
    assert torch.equal(
        features.model.conv1.weight if hasattr(features, "model") else features.conv1.weight, net.conv1.weight
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [({"model": 3}, "no plain state dict"), ({"conv1.weight": torch.zeros(1)}, "entries are missing"),
     (pytest, "damaged or holds more than tensors")],
)  # fmt: skip
def test_what_is_no_plain_state_dict_says_so(tmp_path, content, words):
    path = tmp_path / "other.pt"
    if content is pytest:
        path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=words):
        scalenet.create_model("scalenet", arch=small_network().arch, num_classes=11, checkpoint_path=str(path))
    with pytest.raises(FileNotFoundError, match="no weights file"):
        scalenet.create_model("scalenet_s0", checkpoint_path=str(tmp_path / "none.pt"))
