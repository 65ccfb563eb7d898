"""Losses of bottom-up networks: masked heatmaps, and associative embedding (tags alike within a person, apart between).

B images, K joints, P places for people, (h, w) map size. All is computed in fp32.
"""

from __future__ import annotations

import torch

from scalenet.nn.heads import BottomUpOutput

from .losses import peak_divergence


def masked_mse(heatmaps: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error of (B, K, h, w) heatmaps over all pixels; where ``mask`` (B, K, h, w) is 0 they count 0."""
    return (((heatmaps.float() - target) ** 2) * mask).mean()


def tag_losses(tags: torch.Tensor, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Associative embedding: how far tags are from their person's mean, and how near the means are to each other.

    Args:
        tags: (B, K, h, w).
        joints: (B, P, K) long, the pixel (row * w + column) of each person's joints, -1 where there is none.

    Returns:
        pull (B,): mean over people of the mean squared distance of a person's tags to their mean;
        push (B,): half the mean over pairs of two people of exp(-squared distance of their means). Both are 0 where a
        image has nobody, push also where it has one person.
    """
    tags = tags.float().flatten(2)
    there = (joints >= 0).float()
    picked = tags.gather(2, joints.clamp_min(0).transpose(1, 2)).transpose(1, 2)  # (B, P, K)
    count = there.sum(2)
    mean = (picked * there).sum(2) / count.clamp_min(1)
    spread = (((picked - mean[:, :, None]) ** 2) * there).sum(2) / count.clamp_min(1)
    present = (count > 0).float()
    people = present.sum(1)
    pull = (spread * present).sum(1) / people.clamp_min(1)
    pairs = present[:, :, None] * present[:, None] * (1 - torch.eye(joints.shape[1], device=joints.device))
    near = torch.exp(-((mean[:, :, None] - mean[:, None]) ** 2))
    push = 0.5 * (near * pairs).sum((1, 2)) / (people * (people - 1)).clamp_min(1)
    return pull, push


def bottom_up_loss(
    output: BottomUpOutput,
    heatmaps: torch.Tensor,
    heatmaps_x2: torch.Tensor,
    mask: torch.Tensor,
    mask_x2: torch.Tensor,
    joints: torch.Tensor,
    tag_weight: float = 1e-3,
    peak_weight: float = 0.0,
) -> torch.Tensor:
    """Heatmap errors at both resolutions plus ``tag_weight`` x (pull + push), the mean over the images.

    Args:
        peak_weight: of the divergence of peaks, see :func:`~.losses.peak_divergence`, at both resolutions.
    """
    pull, push = tag_losses(output.tags, joints)
    loss = tag_weight * (pull + push).mean()
    maps = ((output.heatmaps, heatmaps, mask), (output.heatmaps_x2, heatmaps_x2, mask_x2))
    for found, target, known in maps:
        loss = loss + masked_mse(found, target, known)
        if peak_weight:
            loss = loss + peak_weight * peak_divergence(found, target, known=known)
    return loss
