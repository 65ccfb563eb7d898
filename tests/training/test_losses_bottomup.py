"""The vectorised losses are the sums they stand for."""

import numpy as np
import torch

from scalenet.nn.heads import BottomUpOutput
from training.tasks.losses import distillation
from training.tasks.losses_bottomup import bottom_up_loss, masked_mse, tag_losses

B, K, P, H, W = 3, 5, 6, 8, 7


def some_joints(rng: np.random.Generator) -> torch.Tensor:
    joints = np.where(rng.random((B, P, K)) < 0.6, rng.integers(0, H * W, (B, P, K)), -1)
    joints[0, 3:] = -1
    joints[1, 1:] = -1  # one person
    joints[2] = -1  # nobody
    return torch.from_numpy(joints)


def plain_tag_losses(tags: np.ndarray, joints: np.ndarray) -> tuple[float, float]:
    """One image, person by person."""
    values = [[tags[k].flat[p] for k, p in enumerate(person) if p >= 0] for person in joints]
    means = [np.mean(v) for v in values if v]
    n = len(means)
    pull = sum(np.mean((np.array(v) - np.mean(v)) ** 2) for v in values if v) / max(1, n)
    near = sum(np.exp(-((a - b) ** 2)) for i, a in enumerate(means) for j, b in enumerate(means) if i != j)
    return pull, 0.5 * near / max(1, n * (n - 1))


def test_tag_losses_equal_the_plain_sums():
    rng = np.random.default_rng(0)
    tags, joints = torch.from_numpy(rng.normal(0, 1, (B, K, H, W))), some_joints(rng)
    pull, push = tag_losses(tags, joints)
    expected = np.array([plain_tag_losses(t, j) for t, j in zip(tags.numpy(), joints.numpy(), strict=True)])
    np.testing.assert_allclose(np.stack([pull, push], 1), expected, rtol=1e-5, atol=1e-7)
    assert pull[2] == 0 and push[2] == 0 and push[1] == 0 and push[0] > 0


def test_tags_are_learned():
    joints = some_joints(np.random.default_rng(1))
    tags = torch.zeros(B, K, H, W, requires_grad=True)
    with torch.no_grad():
        tags += 0.01 * torch.randn(tags.shape)
    optimizer = torch.optim.Adam([tags], lr=0.05)
    before = sum(tag_losses(tags, joints)).sum().item()
    for _ in range(100):
        optimizer.zero_grad()
        sum(tag_losses(tags, joints)).sum().backward()
        optimizer.step()
    assert sum(tag_losses(tags, joints)).sum().item() < 0.2 * before


def test_half_precision_outputs_are_compared_in_fp32():
    joints = some_joints(np.random.default_rng(2))
    tags = (torch.randn(B, K, H, W) * 100).half()
    pull, _ = tag_losses(tags, joints)
    assert pull.dtype == torch.float32 and torch.isfinite(pull).all()
    assert masked_mse(torch.full((1, 1, 2, 2), 300.0).half(), torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)) == 90000


def test_mask_hides_what_is_not_known():
    heatmaps, target = torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    mask = torch.ones(1, 2, 4, 4, dtype=torch.uint8)
    mask[:, :, :, :2] = 0
    assert masked_mse(heatmaps, target, mask) == 0.5
    mask[:, 1] = 0  # a joint that nothing is known of
    assert masked_mse(heatmaps, target, mask) == 0.25


def test_whole_loss_and_distillation():
    coarse, fine = torch.rand(B, K, H, W), torch.rand(B, K, 2 * H, 2 * W)
    output = BottomUpOutput(coarse, torch.rand(B, K, H, W), fine)
    joints = some_joints(np.random.default_rng(3))
    masks = torch.ones(B, K, H, W), torch.ones(B, K, 2 * H, 2 * W)
    loss = bottom_up_loss(output, torch.zeros_like(coarse), torch.zeros_like(fine), *masks, joints)
    pull, push = tag_losses(output.tags, joints)
    expected = coarse.square().mean() + fine.square().mean() + 1e-3 * (pull + push).mean()
    torch.testing.assert_close(loss, expected)
    other = BottomUpOutput(coarse + 1, output.tags + 7, fine + 2)
    torch.testing.assert_close(distillation(output, other), torch.tensor(5.0))
