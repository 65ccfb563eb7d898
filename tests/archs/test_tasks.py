"""What differs by task is one value each: networks, costs and files agree with it, and a wrong name is told once."""

import ast
import threading
from pathlib import Path

import pytest
import torch

import scalenet
from scalenet.archs import cost, execution
from scalenet.archs.arch import TASKS as ARCHITECTURES
from scalenet.archs.arch import SearchSpace
from scalenet.archs.tasks import TASKS, task_spec
from scalenet.data.labels import COCO, CROWDPOSE
from scalenet.models.checkpoint import plain_cfg
from scalenet.nn.heads import HEADS
from scalenet.nn.network import ScaleNet

SPACE = SearchSpace("pose", 8, (64, 64), 16, 8, (1, 1, 1), (1, 2))
SOURCES = sorted((Path(scalenet.__file__).parent).rglob("*.py"))


@pytest.mark.parametrize("spec", TASKS.values(), ids=TASKS)
def test_a_network_is_what_its_task_says(spec):
    net = ScaleNet(SPACE.hrnet(), spec.name).eval()
    names = dict(net.named_modules())
    assert spec.encoding in ARCHITECTURES and hasattr(scalenet, spec.predictor)
    assert {*spec.classifiers, spec.classifier, spec.head} <= set(names) and net.head is names[spec.head]
    assert net.get_classifier() is names[spec.classifier] and net.num_classes == spec.default_outputs
    x = torch.zeros(1, 3, 33, 50)
    assert net.forward_features(x).shape[1] == net.num_features == spec.num_features(8)
    output = net(x)
    outputs = dict(zip(spec.output_names, [output] if isinstance(output, torch.Tensor) else output, strict=True))
    assert [f for f in getattr(output, "_fields", spec.output_names)] == list(outputs)
    assert all(y.shape[1] == spec.default_outputs for y in outputs.values())
    assert (outputs[spec.output_names[0]].shape[2:] == x.shape[2:]) == spec.full_size
    assert sum(p.numel() for p in net.parameters()) == cost.count(net.arch, task=spec.name).params


@pytest.mark.parametrize("spec", TASKS.values(), ids=TASKS)
def test_a_head_that_was_taken_off_can_be_put_on_again(spec):
    net = ScaleNet(SPACE.hrnet(), spec.name, 5)
    keys = list(net.state_dict())
    net.prune_intermediate_layers()
    assert not [k for k in net.state_dict() if k.startswith(spec.head)]
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, spec.num_features(8), 16, 16)
    net.reset_classifier(5)
    assert list(net.state_dict()) == keys


def test_outputs_without_a_name_are_the_likely_ones():
    assert task_spec("pose").labels_of(None, 17) is task_spec("bottomup").labels_of(None, 17) is COCO
    assert task_spec("bottomup").labels_of(None, 14) is CROWDPOSE
    assert task_spec("pose").labels_of(None, 14).names[1] == "joint 1"
    assert task_spec("segmentation").labels_of(None, 19).names[1] == "class 1"
    assert task_spec("pose").labels_of(CROWDPOSE, 17) is CROWDPOSE


@pytest.mark.parametrize(
    "ask",
    [
        lambda task: ScaleNet(SPACE.hrnet(), task),
        lambda task: cost.count(SPACE.hrnet(), task=task),
        lambda task: plain_cfg(SPACE.hrnet(), task, None),
        lambda task: scalenet.create_model("scalenet", arch="hrnet_w8", task=task),
        task_spec,
    ],
)
def test_a_wrong_task_names_the_nearest(ask):
    with pytest.raises(ValueError, match=r"^task must be one of .*, got 'segmentaton'; did you mean segmentation\?$"):
        ask("segmentaton")
    with pytest.raises(ValueError, match=r"got 'Bottom-up'; did you mean bottomup\?$"):
        ask("Bottom-up")
    with pytest.raises(ValueError, match=r"^task must be one of segmentation, pose, bottomup, got '7'$"):
        ask(7)


def names_a_task(node: ast.expr) -> bool:
    values = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return any(isinstance(v, ast.Constant) and v.value in TASKS for v in values)


def test_nothing_else_asks_for_a_task_by_its_name():
    for path in SOURCES:
        if path.name in ("arch.py", "tasks.py"):  # an encoding's task is another thing
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and "task" in ast.unparse(node.left):
                assert not any(map(names_a_task, node.comparators)), f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_the_tasks_are_known_without_torch():
    paths = sorted((Path(scalenet.__file__).parent / "archs").glob("*.py"))
    assert {"arch.py", "cost.py", "execution.py", "tasks.py"} <= {path.name for path in paths}
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert not [node for node in imports if "torch" in ast.unparse(node) or "heads" in ast.unparse(node)]


def test_every_task_has_a_head():
    assert HEADS.keys() == TASKS.keys()


def test_a_plan_is_always_that_of_the_active_encoding(monkeypatch):
    """One thread plans, another activates another architecture before the first is done."""
    small, large = SPACE.smallest(), SPACE.supernet()
    net = ScaleNet(large, "pose").eval()
    planning, changed, make = threading.Event(), threading.Event(), execution.plan_network

    def slow(arch, outputs):
        made = make(arch, outputs)
        if outputs == (0, 1):
            planning.set()
            assert changed.wait(10)
        return made

    monkeypatch.setattr(execution, "plan_network", slow)
    monkeypatch.setattr("scalenet.nn.network.plan_network", slow, raising=False)
    other = threading.Thread(target=net.forward_branches, args=(torch.zeros(1, 3, 32, 32), (0, 1)))
    other.start()
    assert planning.wait(10)
    net.activate(small)
    changed.set()
    other.join()
    monkeypatch.undo()
    x = torch.randn(1, 3, 32, 32)
    expected = ScaleNet(small, "pose")
    expected.load_state_dict({k: net.state_dict()[k] for k in expected.state_dict()})
    with torch.inference_mode():
        torch.testing.assert_close(net.forward_branches(x, (0, 1))[1], expected.eval().forward_branches(x)[1])
    assert net.active == small
