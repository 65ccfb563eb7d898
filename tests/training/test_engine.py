"""What every field of a recipe does to a step: seen in the weights, the rate, the loss or the images."""

import json

import pytest
import torch
from torch import nn

from scalenet.data.images import normalise
from scalenet.models.checkpoint import read_weights
from scalenet.nn.network import ScaleNet
from training.budget import Clock
from training.engine import SCORE, Run
from training.optim import learning_rate, make_optimizer
from training.recipes import RECIPES
from training.sampling import arch_at, cycle_length
from training.tasks import SegmentationTask, losses

from ..small_training import SPACE


def batch(size=(48, 48)):
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (2, *size, 3), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 3, (2, *size), generator=generator)


def weights(run):
    return {k: p.detach().clone() for k, p in run.model.named_parameters()}


# -- the optimiser ---------------------------------------------------------------------------------------------
def test_the_rate_of_now_is_what_the_optimiser_steps_by(recipe):
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip": 0.0, "lr": 0.1}
    run = Run(recipe.changed(**plain, steps=8))
    run.model.train()
    run.clock.step = 6
    assert arch_at(SPACE, 6) == SPACE.largest(), "every parameter has a gradient"
    before = weights(run)
    report = run.step(*batch())
    rate = learning_rate(run.recipe, 0.75, run.clock.step)
    assert report["lr"] == rate == pytest.approx(0.1 * 0.25**0.9)
    for name, p in run.model.named_parameters():
        torch.testing.assert_close(before[name] - p, rate * p.grad, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_kernels_decay_and_vectors_do_not(optimizer):
    net = ScaleNet(SPACE.smallest(), num_classes=3)
    made = make_optimizer(RECIPES["s0_supernet"].changed(optimizer=optimizer, lr=0.1), net)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    made.step()
    for name, p in net.named_parameters():
        changed = not torch.equal(p, before[name])
        assert changed == (p.ndim > 1 and bool(before[name].any())), name
    assert [g["weight_decay"] for g in made.param_groups] == [0.05, 0.0]


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_the_recipes_eps_lets_small_gradients_move(optimizer):
    moved = []
    for eps in (1e-8, 1e-14):
        net = nn.Linear(1, 1)
        recipe = RECIPES["s0_supernet"].changed(optimizer=optimizer, lr=0.1, weight_decay=0.0, eps=eps, name="small")
        before = net.bias.item()
        made = make_optimizer(recipe, net)
        net.bias.grad = torch.full((1,), 1e-9)
        for group in made.param_groups:
            group["lr"] = 0.1
        made.step()
        moved.append(before - net.bias.item())
    assert moved[0] == pytest.approx(0.1 / 11, rel=1e-2) and moved[1] == pytest.approx(0.1, rel=1e-2)


def test_gradients_are_clipped_to_the_recipes_norm(recipe):
    moved = []
    for clip in (0.01, 0.0):
        plain = recipe.changed(optimizer="sgd", momentum=0.0, weight_decay=0.0, clip=clip, lr=1.0)
        run = Run(plain)
        before = weights(run)
        run.step(*batch())
        moved.append(sum((before[k] - p).square().sum().item() for k, p in run.model.named_parameters()) ** 0.5)
    assert moved[0] == pytest.approx(0.01, rel=1e-2) and moved[1] > 0.1


def test_batchnorm_follows_at_the_recipes_pace(recipe):
    run = Run(recipe.changed(bn_momentum=0.25))
    run.model.train()
    assert {m.momentum for m in run.model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.25}
    images, _ = batch()
    seen = []
    run.model.bn1.register_forward_pre_hook(lambda module, x: seen.append(x[0]))
    run.step(images, batch()[1])
    torch.testing.assert_close(run.model.bn1.running_mean, 0.25 * seen[0].mean((0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_the_shapes_of_the_rate():
    r = RECIPES["s0_teacher"].changed(warmup=0, lr=2.0, decay="cosine")
    assert [learning_rate(r, p, 9) for p in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.0])
    assert learning_rate(r, 0.25, 9) == pytest.approx(1 + 0.5**0.5)


# -- the clock -------------------------------------------------------------------------------------------------
def test_early_images_are_small(recipe):
    clock = Clock(recipe.changed(early=0.6, early_size=(32, 40), steps=100))
    sizes = [clock.size(step) for step in (0, 59, 60, 100)]
    assert sizes == [(32, 40), (32, 40), (48, 48), (48, 48)]


@pytest.mark.parametrize("minutes, written", [(0.0, 5), (60.0, 1)])
def test_checkpoints_are_written_as_often_as_asked(recipe, minutes, written, monkeypatch):
    run = Run(recipe.changed(save_minutes=minutes))
    calls = []
    monkeypatch.setattr(run, "save", lambda: calls.append(run.clock.step))
    monkeypatch.setattr(run, "finish", lambda: None)
    run.run()
    assert len(calls) == written and calls[-1] == 4


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_scoring_in_mid_run_changes_nothing_and_keeps_the_best(recipe, ema, tmp_path, monkeypatch):
    plain = recipe.changed(ema=ema)
    alone = read_weights(Run(plain).run())[0]
    monkeypatch.setattr("training.engine.Run._due", lambda run, interrupt: SCORE)
    run = Run(plain.changed(validate_minutes=1.0, out=str(tmp_path / "scored")))
    scores = iter([0.3, 0.9, 0.5, 0.4, 0.2])
    monkeypatch.setattr(run.task, "evaluate", lambda model: {"miou": next(scores)})
    scored = read_weights(run.run())[0]
    assert all(torch.equal(alone[k], scored[k]) for k in alone)
    best = torch.load(tmp_path / "scored" / "checkpoint.best.pt", weights_only=True)
    assert (best["step"], best["metric"]) == (2, 0.9)
    log = [json.loads(line) for line in (tmp_path / "scored" / "log.jsonl").read_text().splitlines()]
    assert [r["validation"]["miou"] for r in log if "validation" in r] == [0.3, 0.9, 0.5, 0.4]


def test_a_run_says_how_fast_it_was_and_how_long_it_waited(recipe, tmp_path):
    Run(recipe.changed(steps=20, size=(32, 32))).run()
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert first["step"] == 19 and 0 < first["waiting"] < 1 and first["loss"] > 0
    assert first["images_per_second"] == pytest.approx(40 / first["seconds"], rel=0.5)


def test_activations_can_be_computed_again_instead_of_kept(recipe):
    found = []
    for checkpointing in (False, True):
        run = Run(recipe.changed(checkpointing=checkpointing))
        run.step(*batch())
        found.append(weights(run))
    assert run.backbone.grad_checkpointing
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-4, atol=1e-6)


def test_frozen_statistics_stay(recipe):
    run = Run(recipe.changed(batchnorm="frozen"))
    run.learner.train()
    before = {k: v.clone() for k, v in run.model.named_buffers()}
    run.step(*batch())
    assert run.model.training and all(torch.equal(v, before[k]) for k, v in run.model.named_buffers())


# -- the loss --------------------------------------------------------------------------------------------------
def test_the_teachers_outputs_weigh_as_the_recipe_says(recipe, tmp_path):
    alone = recipe.changed(mode="standalone", steps=1, out=str(tmp_path / "t"))
    taught = recipe.changed(teacher=str(Run(alone).run()))
    images, labels = batch()
    for step in (0, 1, 2):
        reports = {}
        for weight in (0.0, 0.5, 2.0):
            run = Run(taught.changed(distill=weight))
            run.model.train()
            run.clock.step = step
            reports[weight] = run.step(images, labels)["loss"]
        student = Run(taught)
        student.model.train()
        student.backbone.activate(arch_at(SPACE, step))
        x = normalise(images)
        with torch.no_grad():
            own, wanted = (student.task.runner(network)(x) for network in (student.model, student.teacher))
            far = (own - wanted).square().mean().item()
        extra = 0.0 if arch_at(SPACE, step) == SPACE.largest() else far
        assert (extra > 1e-4) == (step != 1)
        assert reports[0.5] - reports[0.0] == pytest.approx(0.5 * extra, rel=1e-3, abs=1e-5)
        assert reports[2.0] - reports[0.0] == pytest.approx(2.0 * extra, rel=1e-3, abs=1e-5)


def test_class_weights_and_hard_pixels_reach_the_loss(recipe):
    logits, (_, target) = torch.randn(2, 3, 48, 48), batch()
    counts = SegmentationTask(recipe, torch.device("cpu")).source.class_counts()
    weight = losses.softened_class_weights(torch.tensor(counts))
    assert weight.max() > 1.1 * weight.min()
    for ohem in (0.0, 0.3):
        for weighted in (True, False):
            changes = {"ohem": ohem, "ohem_pixels": 10, "class_weights": weighted}
            task = SegmentationTask(recipe.changed(**changes), torch.device("cpu"))
            w = weight if weighted else None
            plain = losses.cross_entropy(logits, target, w)
            hard = losses.ohem_cross_entropy(logits, target, 0.3, 10, w)
            assert hard > plain
            torch.testing.assert_close(task.loss(logits, target), hard if ohem else plain)


@pytest.mark.parametrize("threshold, kept", [(0.2, 1), (0.5, 1), (0.8, 2), (0.99, 3)])
def test_a_pixel_is_hard_below_the_threshold(threshold, kept):
    chances = torch.tensor([0.3, 0.7, 0.95])
    logits = torch.stack([chances.log(), (1 - chances).log()]).view(1, 2, 1, 3)
    found = losses.ohem_cross_entropy(logits, torch.zeros(1, 1, 3, dtype=torch.long), threshold, min_pixels=1)
    assert found.item() == pytest.approx(-chances[:kept].log().mean().item(), rel=1e-5)


# -- one sub-network a step ------------------------------------------------------------------------------------
def test_every_step_trains_the_schedules_sub_network_and_no_other(recipe):
    run = Run(recipe.changed(optimizer="sgd", momentum=0.9, lr=0.05, steps=cycle_length(SPACE)))
    for step in range(cycle_length(SPACE)):
        run.clock.step, before = step, weights(run)
        report = run.step(*batch())
        arch = arch_at(SPACE, step, run.recipe.run.seed)
        used = set(ScaleNet(arch, num_classes=3).state_dict())
        assert report["arch"] == arch.digest
        touched = {k for k, p in run.model.named_parameters() if not torch.equal(p, before[k])}
        assert touched <= used and len(touched) > 0.9 * len(used & set(before))
