"""Losses: cross-entropy with class weights or hard-example mining (paper section 4.2), joint MSE, distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from scalenet.evaluate.miou import IGNORE
from scalenet.heads import BottomUpOutput


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Mean cross-entropy of (B, C, H, W) logits and (B, H, W) class indices; 255 is ignored, 0 if all are."""
    if not (target != IGNORE).any():
        return logits.sum() * 0
    return F.cross_entropy(logits, target, weight=weight, ignore_index=IGNORE)


def ohem_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    threshold: float = 0.9,
    min_pixels: int = 131072,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy over the pixels whose true class gets a probability below ``threshold``.

    At least ``min_pixels`` of the hardest pixels are always kept (all of them where there are fewer).
    """
    losses = F.cross_entropy(logits, target, weight=weight, ignore_index=IGNORE, reduction="none").flatten()
    valid = target.flatten() != IGNORE
    losses = losses[valid]
    if not losses.numel():
        return logits.sum() * 0
    with torch.no_grad():
        labels = target.flatten()[valid]
        picked = logits.detach().permute(0, 2, 3, 1).flatten(0, 2)[valid].softmax(1)
        probability = picked.gather(1, labels[:, None])[:, 0]
        kept = min(min_pixels, probability.numel())
        limit = max(threshold, probability.kthvalue(kept).values.item())
        hard = probability <= limit
    return losses[hard].mean()


def joint_mse(heatmaps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Half the mean squared error of (B, K, h, w) heatmaps, joints weighted by (B, K) visibility."""
    return 0.5 * (((heatmaps.float() - target) ** 2).mean((2, 3)) * weight).mean()


def partner_mse(
    heatmaps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, partners: torch.Tensor
) -> torch.Tensor:
    """Half the mean squared error of the differences between partners' heatmaps: what tells left from right.

    Args:
        heatmaps, target, weight: as of :func:`joint_mse`; a pair counts where both joints are visible.
        partners: (P, 2) joint indices.
    """
    left, right = partners.unbind(1)
    error = heatmaps.float() - target
    return 0.5 * (((error[:, left] - error[:, right]) ** 2).mean((2, 3)) * weight[:, left] * weight[:, right]).mean()


def distillation(student: torch.Tensor | BottomUpOutput, teacher: torch.Tensor | BottomUpOutput) -> torch.Tensor:
    """Mean squared difference of two networks' raw outputs (paper section 3.3).

    Of a bottom-up network the heatmaps count; tags mean nothing by themselves.
    """
    if isinstance(student, BottomUpOutput):
        return sum(distillation(getattr(student, m), getattr(teacher, m)) for m in ("heatmaps", "heatmaps_x2"))
    return F.mse_loss(student.float(), teacher.float())


def softened_class_weights(counts: torch.Tensor) -> torch.Tensor:
    """(C,) weights: square root of median frequency over frequency, within 0.4 .. 4, mean 1."""
    share = counts.double() / counts.sum()
    weight = (share[share > 0].median() / share.clamp_min(1e-9)).sqrt().clamp(0.4, 4.0)
    return (weight / weight.mean()).float()
