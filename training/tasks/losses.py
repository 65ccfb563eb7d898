"""Losses: cross-entropy with class weights or hard-example mining (paper section 4.2), Lovasz, joint MSE, distillation.

All of them count in float32, whatever type a network's outputs have.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F

from scalenet.data import IGNORE
from scalenet.nn.heads import BottomUpOutput

from .. import distributed

LOVASZ_PIXELS = 16384
UNKNOWN = -1e4  # the logarithm of a probability that nothing is left of
PEAK_SHARPNESS = 10.0  # a peak of 1 holds 0.97 of the probability over 64x48 pixels


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Mean cross-entropy of (B, C, H, W) logits and (B, H, W) class indices; 255 is ignored, 0 if all are.

    The mean over the pixels of all processes, weighted where there are class weights; see :func:`mean_over_all`.
    """
    losses = F.cross_entropy(logits.float(), target, weight=weight, ignore_index=IGNORE, reduction="sum")
    valid = target != IGNORE
    counts = valid if weight is None else weight[target.masked_fill(~valid, 0)] * valid
    return mean_over_all(losses, counts.sum())


def mean_over_all(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """A sum over the count of all processes, times their number; 0 where there is nothing.

    Gradients are averaged over the processes: so n of them make the mean over everything, however uneven their shares
    are.
    """
    everything = distributed.total(count.float())
    return total * distributed.world_size() / torch.where(everything > 0, everything, 1.0)


def ohem_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    threshold: float = 0.9,
    min_pixels: int = 131072,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of the pixels, of all processes, whose true class gets a probability below ``threshold``.

    At least ``min_pixels`` of the hardest pixels are always kept (all of them where there are fewer).
    """
    losses = F.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="none")
    valid = target != IGNORE
    with torch.no_grad():
        probability = (-losses).exp().masked_fill(~valid, math.inf).flatten()
        kept = min(min_pixels, probability.numel() * distributed.world_size())
        hardest = probability.topk(min(kept, probability.numel()), largest=False, sorted=False).values
        limit = distributed.gathered(hardest).kthvalue(kept).values.clamp_min(threshold)
        hard = valid & (probability.view_as(losses) <= limit)
    if weight is not None:
        losses = losses * weight[target.masked_fill(~valid, 0)]
    return mean_over_all(losses.masked_fill(~hard, 0).sum(), hard.sum())


def lovasz_softmax(logits: torch.Tensor, target: torch.Tensor, pixels: int = LOVASZ_PIXELS) -> torch.Tensor:
    """Lovasz-Softmax (Berman et al., CVPR 2018): 1 - IoU over the batch, made smooth, mean over the classes in it.

    Args:
        logits: (B, C, H, W).
        target: (B, H, W) class indices; 255 is ignored, the loss is 0 if all are.
        pixels: about how many are looked at, as each has to be sorted for each class: of more, those of an even grid
            over every image. Its step is odd, so that it meets a network's upsampling at every phase.
    """
    step = math.ceil(math.sqrt(target.numel() / pixels)) | 1
    logits = logits[:, :, step // 2 :: step, step // 2 :: step]
    target = target[:, step // 2 :: step, step // 2 :: step].flatten()
    valid = target != IGNORE
    chance = logits.float().softmax(1).transpose(0, 1).flatten(1)[:, valid]
    truth = (target[valid] == torch.arange(len(chance), device=target.device)[:, None]).float()
    present = truth.any(1)
    if not present.any():
        return logits.float().sum() * 0
    truth, chance = truth[present], chance[present]
    errors, order = (truth - chance).abs().sort(1, descending=True)
    return (errors * _jaccard_steps(truth.gather(1, order))).sum(1).mean()


def _jaccard_steps(truth: torch.Tensor) -> torch.Tensor:
    """(C, P) what each pixel adds to 1 - IoU when pixels are got wrong one after the other, the worst first.

    Args:
        truth: (C, P) 1 where the pixel is of the class, in that order.
    """
    total = truth.sum(1, keepdim=True)
    loss = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1))
    return loss.diff(dim=1, prepend=torch.zeros_like(total))


def joint_mse(heatmaps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Half the mean squared error of (B, K, h, w) heatmaps, joints weighted by (B, K) visibility."""
    return 0.5 * (((heatmaps.float() - target) ** 2).mean((2, 3)) * weight).mean()


def flip_pair_mse(
    heatmaps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, flip_pairs: torch.Tensor
) -> torch.Tensor:
    """Half the mean squared error of the differences between left and right joints' heatmaps.

    Args:
        heatmaps, target, weight: as of :func:`joint_mse`; a pair counts where both joints are visible.
        flip_pairs: (P, 2) joint indices.
    """
    left, right = flip_pairs.unbind(1)
    error = heatmaps.float() - target
    return 0.5 * (((error[:, left] - error[:, right]) ** 2).mean((2, 3)) * weight[:, left] * weight[:, right]).mean()


def peak_divergence(
    heatmaps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None,
    known: torch.Tensor | None = None, sharpness: float = PEAK_SHARPNESS,
) -> torch.Tensor:  # fmt: skip
    """How far the places that (B, K, h, w) heatmaps point to are from the target's, in nats, the mean over joints.

    A heatmap times ``sharpness`` is taken for the logarithm of a probability over its pixels, and so is the target:
    the divergence is 0 where they are equal, as the squared error is, but it looks at peaks alone. Its gradient does
    not fade while a heatmap is still flat, and a second peak (the other leg) costs as much as the first one earns.
    Where a heatmap has several peaks, they share the probability; of one without any it is even.

    Args:
        weight: (B, K) visibility of the joints; default all count.
        known: (B, K, h, w), 0 where a pixel is left out; default none is.
    """
    own, wanted = (sharpness * x.float() for x in (heatmaps, target))
    if known is not None:
        own, wanted = (x.masked_fill(known == 0, UNKNOWN) for x in (own, wanted))
    own, wanted = (F.log_softmax(x.flatten(2), 2) for x in (own, wanted))
    divergence = (wanted.exp() * (wanted - own)).sum(2)
    return (divergence if weight is None else divergence * weight).mean()


def distillation(student: torch.Tensor | BottomUpOutput, teacher: torch.Tensor | BottomUpOutput) -> torch.Tensor:
    """Mean squared difference of two networks' raw outputs (paper section 3.3).

    Of a bottom-up network the heatmaps count; tags mean nothing by themselves.
    """
    if isinstance(student, BottomUpOutput) and isinstance(teacher, BottomUpOutput):
        return distillation(student.heatmaps, teacher.heatmaps) + distillation(student.heatmaps_x2, teacher.heatmaps_x2)
    return F.mse_loss(cast(torch.Tensor, student).float(), cast(torch.Tensor, teacher).float())


def softened_class_weights(counts: torch.Tensor) -> torch.Tensor:
    """(C,) weights: square root of median frequency over frequency, within 0.4 .. 4, mean 1."""
    share = counts.double() / counts.sum()
    weight = (share[share > 0].median() / share.clamp_min(1e-9)).sqrt().clamp(0.4, 4.0)
    return (weight / weight.mean()).float()
