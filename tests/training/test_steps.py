"""What a step may hold beside one sub-network of one size: a sandwich, its largest as a teacher, sizes, an average."""

import pytest
import torch

from scalenet.data.images import normalise
from scalenet.models.checkpoint import read_weights
from scalenet.nn.network import ScaleNet
from training.budget import Clock
from training.checks import RecipeError
from training.engine import Run
from training.recipes import get_recipe
from training.sampling import arch_at, cycle_length, groups, step_archs

from ..small_training import SPACE
from .test_engine import batch, weights


# -- sandwich --------------------------------------------------------------------------------------------------
def test_a_sandwich_is_the_largest_the_smallest_and_the_groups_in_turn(recipe):
    sandwich = recipe.changed(sandwich=2)
    cells, seen = groups(SPACE), []
    for step in range(3 * len(cells)):
        largest, smallest, *sampled = step_archs(sandwich, step)
        assert largest == SPACE.largest() and {d for _, _, m in smallest.modules() for d in m.depths} == {1}
        seen += sampled
    turns = [cycle * cycle_length(SPACE) + 2 + cell for cycle in range(6) for cell in range(len(cells))]
    assert seen == [arch_at(SPACE, turn, recipe.run.seed) for turn in turns]


def test_without_a_sandwich_a_step_is_the_papers(recipe):
    assert [step_archs(recipe, step) for step in range(20)] == [[arch_at(SPACE, step)] for step in range(20)]


def test_the_gradients_of_a_sandwich_are_the_mean_of_its_networks(recipe):
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip": 0.0, "lr": 0.1, "warmup": 0}
    sandwich = recipe.changed(sandwich=1, **plain)
    together = Run(sandwich)
    before = weights(together)
    archs = step_archs(sandwich, 0)
    together.step(*batch())
    expected = {k: torch.zeros_like(v) for k, v in before.items()}
    for arch in archs:
        run = Run(sandwich)
        run.backbone.activate(arch)
        images, labels = batch()
        run.task.loss(run.model(normalise(images)), labels).backward()
        for k, p in run.model.named_parameters():
            expected[k] += torch.zeros_like(p) if p.grad is None else p.grad / len(archs)
    for k, p in together.model.named_parameters():
        torch.testing.assert_close(before[k] - p, 0.1 * expected[k], rtol=1e-3, atol=1e-5)


def test_the_largest_of_a_step_teaches_the_others(recipe):
    sandwich = recipe.changed(sandwich=1)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        losses[weight] = Run(sandwich.changed(inplace=weight)).step(*batch())["loss"]
    run = Run(sandwich)
    outputs = []
    for arch in step_archs(sandwich, 0):
        run.backbone.activate(arch)
        outputs.append(run.task.runner(run.model)(normalise(batch()[0])).detach())
    far = sum((other - outputs[0]).square().mean().item() for other in outputs[1:]) / len(outputs)
    assert far > 1e-4
    assert losses[1.0] - losses[0.0] == pytest.approx(far, rel=1e-2)
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * far, rel=1e-2)


@pytest.mark.parametrize("changes", [{"mode": "standalone", "sandwich": 1}, {"inplace": 0.5}, {"ema": 1.0}])
def test_what_does_not_go_together_is_refused(recipe, changes):
    with pytest.raises(RecipeError, match=r"sandwich|ema"):
        Run(recipe.changed(**changes))


# -- sizes -----------------------------------------------------------------------------------------------------
def test_a_step_has_one_of_the_sizes_whenever_it_is_asked(recipe):
    several = recipe.changed(sizes=((32, 40), (64, 48)))
    clock, later = Clock(several), Clock(several)
    later.step = 7
    sizes = [clock.size(step) for step in range(60)]
    assert sizes == [later.size(step) for step in range(60)]
    assert set(sizes) == {(48, 48), (32, 40), (64, 48)} and min(map(sizes.count, sizes)) > 8


def test_sizes_are_written_as_height_x_width():
    recipe = get_recipe("s0_supernet", ["sizes=192x256,96x128", "more_roots=a,b"])
    assert recipe.schedule.sizes == ((192, 256), (96, 128)) and recipe.data.more_roots == ("a", "b")
    with pytest.raises(RecipeError, match="sizes takes"):
        get_recipe("s0_supernet", ["sizes=192"])


# -- the average -----------------------------------------------------------------------------------------------
def test_a_run_gives_the_average_of_its_weights(recipe):
    run = Run(recipe.changed(ema=0.5, steps=3))
    name, seen = "conv1.weight", [weights(run)["conv1.weight"]]
    original = run.step

    def step(*parts):
        report = original(*parts)
        seen.append(weights(run)[name])
        return report

    run.step = step
    path = run.run()
    expected = seen[0]
    for number, now in enumerate(seen[1:]):
        decay = run.average.get_decay(number)
        expected = decay * expected + (1 - decay) * now
    state, _ = read_weights(path)
    torch.testing.assert_close(state[name], expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(state[name], seen[-1])


def test_an_averages_statistics_are_measured_anew(recipe):
    run = Run(recipe.changed(mode="standalone", arch="smallest", ema=0.9))
    state, _ = read_weights(run.run())
    network = ScaleNet(run.backbone.arch, num_classes=3)
    network.load_state_dict(state)
    seen = []
    network.eval().bn1.register_forward_pre_hook(lambda module, x: seen.append(x[0]))
    for x in run.task.calibration(32):
        network(x)
    mean = torch.stack([s.mean((0, 2, 3)) for s in seen]).mean(0)
    torch.testing.assert_close(state["bn1.running_mean"], mean, rtol=1e-3, atol=1e-4)


def test_the_average_survives_a_resume(recipe):
    average = recipe.changed(ema=0.9)
    run = Run(average)
    run.step(*batch())
    run.clock.step = 1
    run.save()
    again = Run(average)
    for k, v in run.average.module.state_dict().items():
        torch.testing.assert_close(v, again.average.module.state_dict()[k])
