"""Schedule, recipes, losses, recalibration, and whole runs on a tiny space: train, stop, resume, finish."""

import dataclasses
import gzip
import json
import os
import pickle
import signal
import tarfile

import cv2
import numpy as np
import pytest
import torch

from scalenet.archs.arch import ArchError, SearchSpace
from scalenet.models.checkpoint import WeightsError, read_weights
from scalenet.nn.network import ScaleNet
from training import distributed
from training.__main__ import main
from training.checks import RecipeError, TrainingError
from training.data import DataError, Requests, StepBatches
from training.data.classification import ClassificationSource
from training.data.keypoints import KeypointSource
from training.data.segmentation import SegmentationSource
from training.engine import Run
from training.optim import learning_rate, make_optimizer
from training.overrides import override
from training.recalibrate import recalibrate
from training.recipes import RECIPES, get_recipe
from training.sampling import arch_at, cycle_length, groups, step_archs
from training.start import arch_of_space
from training.tasks import losses

from ..conftest import status_of
from ..small_crowds import lsp_form
from ..small_data import camvid_form
from ..small_training import SPACE, flat, metrics_of, signalled_at, tiny_recipe


def test_the_papers_segmentation_recipes():
    for width in (32, 48):
        recipe, teacher = (flat(RECIPES[f"cityscapes_w{width}{end}"]) for end in ("", "_teacher"))
        assert recipe.space == SearchSpace("segmentation", width, (1024, 2048)) and recipe.classes == 19
        assert recipe.size == recipe.early_size == (512, 1024) and recipe.batch == 8 * 3
        assert recipe.steps * recipe.batch == pytest.approx(484 * 2975, rel=1e-3)
        assert (recipe.optimizer, recipe.lr, recipe.momentum, recipe.weight_decay) == ("sgd", 1e-3, 0.9, 5e-4)
        assert (recipe.decay, recipe.scale, recipe.distill) == ("poly", (0.5, 2.1), 0.5)
        assert (recipe.ohem, recipe.ohem_pixels, recipe.class_weights) == (0.9, 131072, False)
        assert recipe.fixed_weights[0] == 0.8373 and sum(recipe.fixed_weights) == pytest.approx(19.0001)
        assert (recipe.bn_momentum, recipe.colour, recipe.scale_draw, recipe.decay_vectors) == (0.01, 0, "tenths", True)
        assert recipe.init == recipe.teacher == f"out/training/{teacher.name}/final.safetensors"


def test_the_papers_segmentation_recipe_on_a_small_data_set(camvid, tmp_path):
    recipe = RECIPES["cityscapes_w32"].changed(
        root=str(camvid), space=SPACE, classes=3, steps=2, batch=2, size=(48, 48),
        fixed_weights=(1.0, 0.5, 2.0), early_size=(48, 48), workers=0, init="", teacher="",
        out=str(tmp_path / "run"), device="cpu",
    )  # fmt: skip
    run = Run(recipe)
    assert run.task.weight.tolist() == [1.0, 0.5, 2.0] and run.task.source.load(0)[0] is not run.task.source.load(0)[0]
    assert "miou" in metrics_of(run.run())


# -- schedule ------------------------------------------------------------------------------------------------
def test_one_cycle_of_the_published_space():
    space = SearchSpace("pose", 32, (256, 192))
    assert cycle_length(space) == 11
    assert groups(space) == [(f, d) for f in (0.2, 0.5, 0.8) for d in ((2, 3), (3, 4), (4, 5))]
    cycle = [arch_at(space, step) for step in range(11)]
    assert cycle[0] == space.smallest() and cycle[1] == space.largest()
    for (share, depths), arch in zip(groups(space), cycle[2:], strict=True):
        found = [d for _, _, m in arch.modules() for d in m.depths]
        assert {*found} == {*depths}
        bits = sum(len(s) for _, _, m in arch.modules() for row in m.fusions for s in row)
        room = sum(d * (len(m.depths) - 1) for _, _, m in arch.modules() for d in m.depths)
        assert abs(bits / room - share) < 0.15


def test_the_authors_variant_is_theirs_in_every_point():
    ours, theirs = RECIPES["coco_w32_256x192"], get_recipe("coco_w32_256x192", ["variant=authors", "batch=64"])
    changed = {k: (v, theirs.flat()[k]) for k, v in ours.flat().items() if v != theirs.flat()[k]}
    assert changed == {
        "decay_vectors": (False, True), "distill_largest": (False, True), "largest_last": (False, True),
        "upper_half": (0.5, 0.69), "batch": (128, 64),
    }  # fmt: skip
    assert get_recipe(ours.name, ["variant=ours"]) == ours
    pretrain = get_recipe("pretrain", ["variant=authors"])
    assert len(step_archs(pretrain, 3)) == 1 and len(step_archs(RECIPES["pretrain"], 3)) == 3
    cycle = [step_archs(theirs, step)[0] for step in range(11)]
    assert cycle[0] == ours.space.smallest() and cycle[10] == ours.space.largest()
    assert {step_archs(ours, s)[0].digest for s in (0, 1)} == {a.digest for a in (cycle[0], cycle[10])}
    with pytest.raises(RecipeError, match="did you mean authors"):
        get_recipe("coco_w32_256x192", ["variant=author"])


@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.arch.endswith(".json")])
def test_a_recipes_architecture_is_of_its_space(name):
    recipe = RECIPES[name]
    assert arch_of_space(recipe.space, recipe.arch).width == recipe.space.width


@pytest.mark.parametrize("draw, low, high", [("tenths", 0.5, 2.1), ("even", 0.5, 2.1), ("log", 0.5, 2.1)])
def test_scales_are_drawn_as_the_recipe_says(camvid, draw, low, high):
    source, rng = SegmentationSource(str(camvid), "train", 3, (low, high), draw=draw), np.random.default_rng(0)
    scales = np.array([source._scale(rng) for _ in range(2000)])
    mean = (high - low) / np.log(high / low) if draw == "log" else 1.3
    assert scales.min() >= low - 1e-9 and scales.max() <= high + 1e-9 and scales.mean() == pytest.approx(mean, abs=0.04)
    assert len(set(scales.round(9))) == (17 if draw == "tenths" else 2000)


def test_images_of_classes_are_read_as_they_are_asked_for(tmp_path):
    """Unpacked, in one tar file and in a tar file for each class: the same images, and nothing held."""
    for n, name in enumerate("ab"):
        (tmp_path / "loose" / "train" / name).mkdir(parents=True)
        for i in range(2):
            image = np.full((8, 8, 3), 50 * n + 20 * i, np.uint8)
            cv2.imwrite(str(tmp_path / "loose" / "train" / name / f"{i}.png"), image)
    (tmp_path / "one").mkdir()
    (tmp_path / "many" / "train").mkdir(parents=True)
    with tarfile.open(tmp_path / "one" / "train.tar", "w") as tar:
        tar.add(tmp_path / "loose" / "train", "train")
    for name in "ab":
        with tarfile.open(tmp_path / "many" / "train" / f"{name}.tar", "w") as tar:
            for path in sorted((tmp_path / "loose" / "train" / name).iterdir()):
                tar.add(path, path.name)
    sources = [ClassificationSource(str(tmp_path / form), "train") for form in ("loose", "one", "many")]
    seen = [sorted((int(s.labels[i]), int(s.load(i, (8, 8))[0, 0, 0])) for i in range(len(s))) for s in sources]
    assert seen[0] == seen[1] == seen[2] == [(0, 0), (0, 20), (1, 50), (1, 70)]
    with gzip.open(tmp_path / "many" / "train" / "c.tar", "wb") as file:
        file.write((tmp_path / "one" / "train.tar").read_bytes())
    with pytest.raises(DataError, match=r"c\.tar is damaged or no tar file, or a compressed"):
        ClassificationSource(str(tmp_path / "many"), "train")


def test_schedule_is_a_pure_function_of_the_step():
    assert [arch_at(SPACE, s, 7) for s in range(20)] == [arch_at(SPACE, s, 7) for s in range(20)]
    assert arch_at(SPACE, 3, 0) != arch_at(SPACE, 3 + cycle_length(SPACE), 0)


def test_the_smallest_has_a_tenth_of_the_paths_for_segmentation_and_none_for_pose():
    def bits(task):
        arch = arch_at(SearchSpace(task, 8, (64, 64)), 0)
        return [len(s) for _, _, m in arch.modules() for row in m.fusions for s in row]

    assert sum(bits("pose")) == 3 and sum(bits("segmentation")) > 3


# -- recipes ---------------------------------------------------------------------------------------------------
def test_overrides_are_typed_and_name_the_nearest_key():
    changed = flat(get_recipe("s0_teacher", ["size=128x160", "lr=0.5", "steps=7", "class_weights=false"]))
    assert (changed.size, changed.lr, changed.steps, changed.class_weights) == ((128, 160), 0.5, 7, False)
    for text, words in [("btach=3", "did you mean batch"), ("lr=fast", "lr takes float"), ("lr", "key=value")]:
        with pytest.raises(RecipeError, match=words):
            override(RECIPES["s0_teacher"], [text])
    with pytest.raises(RecipeError, match="did you mean s0_teacher"):
        get_recipe("s0_teecher")


@pytest.mark.parametrize(
    "argv, words",
    [
        (["run", "s0_techer"], "s0_teacher"),
        (["run", "s0_teacher", "bacth=2"], "batch"),
        (["run", "s0_teacher", "init=", "root=/nowhere/at/all"], "images/train"),
        (["recalibrate", "x.safetensors", "--data", ".", "--batches", "0"], "at least 1"),
        (["rnu", "s0_teacher"], "invalid choice"),
        (["run", "s0_teacher", "device=foo"], "device"),
        (["run", "s0_teacher", "autocast=fp8"], "off or bf16"),
        (["run", "s0_teacher", "device=cpu", "batch=0"], "batch=0"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(argv, words, capsys, tmp_path):
    assert status_of(main, [*argv, f"out={tmp_path / 'x'}"] if argv[0] == "run" else argv) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_learning_rate_shapes():
    r = RECIPES["s0_teacher"].changed(warmup=10, lr=1.0)
    assert learning_rate(r, 0.0, 0) == pytest.approx(0.1)
    assert learning_rate(r, 0.5, 100) == pytest.approx(0.5**0.9)
    steps = r.changed(decay="steps", milestones=(0.5, 0.9))
    assert [round(learning_rate(steps, p, 99), 4) for p in (0.4, 0.5, 0.95)] == [1.0, 0.1, 0.01]


# -- data ------------------------------------------------------------------------------------------------------
def test_batches_are_seeded_and_shared_out_between_ranks():
    def ask(rank, world, start=0):
        stream = iter(StepBatches(5, 4, lambda step: (8, 8), 1, start, rank, world))
        return [next(stream) for _ in range(4)]

    alone = ask(0, 1)
    assert alone[2:] == ask(0, 1, start=2)[:2], "a resumed run asks for the same images"
    for whole, first, second in zip(alone, ask(0, 2), ask(1, 2), strict=True):
        assert sorted(whole) == sorted(first + second)
    order = [i for batch in alone for i, _, _ in batch]
    assert sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4], "an epoch visits every image once"


def test_samples_repeat_and_outside_is_ignored(camvid):
    source = SegmentationSource(str(camvid), "train", 3, scale=(0.3, 0.4))
    a, b = (source.sample(1, np.random.default_rng(5), (64, 64)) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    image, label = a
    assert image.shape == (64, 64, 3) and label.shape == (64, 64) and (label == 255).mean() > 0.5
    assert set(np.unique(label)) <= {0, 1, 2, 255}


def test_image_and_label_stay_together(camvid):
    """Labels of this data are brightness, so they can be made again from a warped image."""
    source = SegmentationSource(str(camvid), "train", 3, scale=(1.0, 1.0001))
    hits = []
    for seed in range(8):
        image, label = source.sample(0, np.random.default_rng(seed), (64, 80))
        bright, dark = image.mean(2)[label == 2], image.mean(2)[label == 0]
        hits.append(bright.mean() > dark.mean() + 40 if bright.size and dark.size else True)
    assert all(hits)


def test_wrong_folders_say_what_was_looked_for(tmp_path, camvid):
    with pytest.raises(DataError, match="images/train"):
        SegmentationSource(str(tmp_path), "train", 3)
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "images/train/a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no label for .*a\.jpg"):
        SegmentationSource(str(tmp_path), "train", 3)


# -- losses ----------------------------------------------------------------------------------------------------
def test_ohem_keeps_the_hard_pixels():
    logits = torch.zeros(1, 2, 2, 4)
    logits[0, 0, 0] = 9.0  # the first row is easy
    target = torch.zeros(1, 2, 4, dtype=torch.long)
    target[0, 1, 3] = 255
    hard = losses.ohem_cross_entropy(logits, target, threshold=0.9, min_pixels=2)
    assert hard.item() == pytest.approx(np.log(2))
    everything = losses.ohem_cross_entropy(logits, target, threshold=0.9, min_pixels=100)
    assert everything.item() == pytest.approx(losses.cross_entropy(logits, target).item())


def test_rare_classes_weigh_more():
    weight = losses.softened_class_weights(torch.tensor([1000.0, 100.0, 10.0]))
    assert weight[0] < weight[1] < weight[2] and weight.mean() == pytest.approx(1.0)


# -- steps -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_a_step_does_not_use_is_not_touched(optimizer):
    r = RECIPES["s0_supernet"].changed(optimizer=optimizer, lr=0.1)
    net = ScaleNet(SPACE.supernet(), num_classes=3).train()
    opt = make_optimizer(r, net)
    for arch in (SPACE.largest(), SPACE.smallest()):  # the first step gives everything momentum
        net.activate(arch)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        opt.zero_grad(set_to_none=True)
        net(torch.randn(2, 3, 64, 64)).square().mean().backward()
        opt.step()
    used = set(ScaleNet(SPACE.smallest(), num_classes=3).state_dict())
    after = net.state_dict()
    same = {k for k in before if torch.equal(before[k], after[k])}
    assert same == set(before) - used


def test_recalibration_measures_and_restores():
    net = ScaleNet(SPACE.supernet(), num_classes=3).eval()
    net.activate(SPACE.smallest())
    weights = {k: v.clone() for k, v in net.named_parameters()}
    unused = net.stage4[-1].branches[0][1].bn1
    unused.running_mean.fill_(7.0)
    batches = [torch.randn(2, 3, 64, 64) * 3 + 1 for _ in range(3)]
    assert recalibrate(net, batches) == 3
    first = net.conv1(torch.cat(batches)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(net.bn1.running_mean, first.mean(1), rtol=1e-4, atol=1e-4)
    assert not net.bn1.training and net.bn1.momentum == 0.1
    assert unused.running_mean[0] == 7.0, "what does not run keeps its statistics"
    assert all(torch.equal(weights[k], v) for k, v in net.named_parameters())
    with pytest.raises(ValueError, match="at least one"):
        recalibrate(net, [])


def test_a_supernet_run_stops_resumes_and_ends_like_one_piece(recipe, tmp_path):
    whole = Run(recipe).run()
    parts = recipe.changed(out=str(tmp_path / "parts"))
    with pytest.raises(KeyboardInterrupt):
        signalled_at(Run(parts), 1, signal.SIGINT).run()
    resumed = Run(parts)
    assert resumed.clock.step == 2
    again = resumed.run()
    (a, meta), (b, _) = read_weights(whole), read_weights(again)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert metrics_of(whole)["miou"] > 0 and meta["steps"] == "4"
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert "final" in lines[-1]
    assert (tmp_path / "run" / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_itself_first(recipe, number):
    before = signal.getsignal(signal.SIGINT)
    run = Run(recipe)
    original = run.step

    def step(*batch):
        report = original(*batch)
        os.kill(os.getpid(), number)
        return report

    run.step = step
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert Run(recipe).clock.step == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_says_how_to_go_on(recipe, monkeypatch, capsys):
    def stopped(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "__init__", lambda self, recipe: None)
    monkeypatch.setattr(Run, "run", stopped)
    assert main(["run", "s0_supernet"]) == 130
    assert "resumes from its checkpoint" in capsys.readouterr().err


def test_a_teacher_starts_a_supernet_and_distils(recipe, tmp_path):
    teacher = recipe.changed(name="t", mode="standalone", out=str(tmp_path / "t"), steps=2)
    weights = str(Run(teacher).run())
    run = Run(recipe.changed(init=weights, teacher=weights, steps=3))
    assert torch.equal(run.backbone.conv1.weight, read_weights(weights)[0]["conv1.weight"])
    assert run.teacher is not None and not any(p.requires_grad for p in run.teacher.parameters())
    run.run()


def test_another_runs_checkpoint_is_refused(recipe):
    Run(recipe).save()
    other = recipe.changed(space=dataclasses.replace(SPACE, depths=(1, 1)))
    with pytest.raises(TrainingError, match="belongs to another run"):
        Run(other)
    with pytest.raises(TrainingError, match="belongs to another run"):
        Run(recipe.changed(mode="standalone"))


def test_the_first_images_after_a_resume_have_the_size_of_now(recipe, monkeypatch):
    run = Run(recipe.changed(early=0.5, early_size=(32, 32)))
    run.clock.step = 3
    sizes = []
    monkeypatch.setattr(run, "_loop", lambda loader, bar, interrupt: sizes.append(next(iter(loader))[0].shape[1:3]))
    monkeypatch.setattr(run, "finish", lambda: None)
    run.run()
    assert sizes == [(48, 48)]


def test_a_classifier_can_be_a_supernet_too(tmp_path):
    for split in ("train", "val"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / split / name / "x.png"), np.full((64, 64, 3), 99, np.uint8))
    recipe = RECIPES["pretrain_labels"].changed(
        mode="supernet", root=str(tmp_path), space=SPACE, steps=1, minutes=0.0, batch=2,
        size=(64, 64), early_size=(64, 64), out=str(tmp_path / "run"), device="cpu",
    )  # fmt: skip
    assert "top1" in metrics_of(Run(recipe).run())


def test_a_diverged_run_stops(recipe):
    run = Run(recipe)
    with torch.no_grad():
        run.model.last_layer[3].bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss is nan"):
        run.run()


def test_what_a_run_cannot_be_made_of_is_said_in_one_line(recipe, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(dataclasses.replace(SPACE, width=4).largest().to_json())
    with pytest.raises(ArchError, match="width 4 is outside the space"):
        Run(recipe.changed(mode="standalone", arch=str(outside)))
    with pytest.raises(RecipeError, match="did you mean segmentation"):
        Run(recipe.changed(task="segmentaton"))
    alone = recipe.changed(name="t", mode="standalone", arch="smallest", out=str(tmp_path / "t"), steps=1)
    with pytest.raises(WeightsError, match=r"teacher .* are missing"):
        Run(recipe.changed(teacher=str(Run(alone).run())))
    Run(recipe).save()
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="is damaged"):
        Run(recipe)


def test_work_for_one_process_is_done_by_the_first(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert main(["prepare", "/nowhere", "-o", "/nowhere/out"]) == 0 and not capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    assert main(["prepare", "/nowhere", "-o", "/nowhere/out"]) == 2
    assert distributed.start("cpu", join=False).type == "cpu" and distributed.world_size() == 1, "it waits for nobody"
    assert os.environ["RANK"] == "0", "whoever calls keeps the environment as it was"


def test_images_without_a_label_cost_nothing():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = losses.cross_entropy(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_a_damaged_image_stops_a_run_or_is_skipped_and_named(tmp_path, caplog):
    data = camvid_form(tmp_path / "data")
    recipe = tiny_recipe(data, tmp_path / "run").changed(cache=False, steps=6)
    stop, skip = Run(recipe), Run(recipe.changed(damaged="skip", workers=1, out=str(tmp_path / "skip")))
    broken = data / "images" / "train" / "p1.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"p1\.jpg"):
        stop.run()
    skip.run()
    named = [r.getMessage() for r in caplog.records if "skipped" in r.getMessage()]
    assert len(named) == 1 and "p1.jpg" in named[0] and skip.meter.damaged == 2, "twice in two epochs"
    for path in (data / "images" / "train").iterdir():
        path.write_bytes(b"")
    source = SegmentationSource(str(data), "train", 3, cache=False)
    with pytest.raises(DataError, match="and 9 after it"):
        Requests(source, skip=True)[0, (0, 0), (32, 32)]


def test_data_sets_travel_to_processes_that_begin_anew(camvid, tmp_path):
    """What a loader's workers get where they are not forked: as pickles, which then give the same samples."""
    sources = [
        SegmentationSource(str(camvid), "train", 3), KeypointSource(str(lsp_form(tmp_path / "lsp")), "train"),
    ]  # fmt: skip
    for source in sources:
        again = pickle.loads(pickle.dumps(source))
        for mine, theirs in zip(
            *(s.sample(0, np.random.default_rng(3), (64, 48)) for s in (source, again)), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_uneven_shares_are_refused(recipe, monkeypatch):
    monkeypatch.setattr("training.distributed.world_size", lambda: 3)
    with pytest.raises(RecipeError, match="cannot be shared out evenly to 3"):
        Run(recipe.changed(batch=4))


def test_weights_are_kept_whatever_comes_of_scoring(recipe, monkeypatch, tmp_path):
    run = Run(recipe.changed(steps=1))
    monkeypatch.setattr(run.task, "evaluate", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert read_weights(tmp_path / "run" / "final.safetensors")[0].keys() == run.model.state_dict().keys()


def test_a_missing_validation_is_said_before_the_training(recipe):
    with pytest.raises(DataError, match="no split 'nowhere'"):
        Run(recipe.changed(val_split="nowhere"))
