"""The authors' masked supernet, written again from its description: plain functions on a state dict, no modules.

Only for comparison: it shares nothing with the package. ``masks`` are the authors' ("d": depths (n, 1), "f": bits).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def conv_bn(state, x, conv, bn, stride=1, relu=False):
    weight = state[conv + ".weight"]
    x = F.conv2d(x, weight, state.get(conv + ".bias"), stride, weight.shape[-1] // 2)
    running = state[bn + ".running_mean"], state[bn + ".running_var"]
    x = F.batch_norm(x, *running, state[bn + ".weight"], state[bn + ".bias"], False, 0.0, 1e-5)
    return F.relu(x) if relu else x


def basic_block(state, x, name):
    y = conv_bn(state, x, f"{name}.conv1", f"{name}.bn1", relu=True)
    return F.relu(conv_bn(state, y, f"{name}.conv2", f"{name}.bn2") + x)


def bottleneck(state, x, name):
    y = conv_bn(state, x, f"{name}.conv1", f"{name}.bn1", relu=True)
    y = conv_bn(state, y, f"{name}.conv2", f"{name}.bn2", relu=True)
    y = conv_bn(state, y, f"{name}.conv3", f"{name}.bn3")
    if f"{name}.downsample.0.weight" in state:
        x = conv_bn(state, x, f"{name}.downsample.0", f"{name}.downsample.1")
    return F.relu(x + y)


def path(state, x, name, target, source):
    if source > target:
        y = conv_bn(state, x, f"{name}.0", f"{name}.1")
        return F.interpolate(y, scale_factor=2 ** (source - target), mode="nearest")
    for hop in range(target - source):
        last = hop == target - source - 1
        x = conv_bn(state, x, f"{name}.{hop}.0", f"{name}.{hop}.1", stride=2, relu=not last)
    return x


def module(state, xs, name, mask):
    n = len(xs)
    depths = [int(d[0]) for d in mask["d"]]
    for d in range(max(depths)):
        xs = [basic_block(state, x, f"{name}.branches.{i}.{d}") if d < depths[i] else x for i, x in enumerate(xs)]
        fused = []
        for j in range(n):
            y = xs[j]
            for k in range(n):
                if k != j and mask["f"][j][d][k]:
                    y = y + path(state, xs[k], f"{name}.fuse_layers_{d + 1}.{j}.{k}", j, k)
            fused.append(F.relu(y))
        xs = fused
    return xs


@torch.inference_mode()
def forward(state, x, masks):
    """Logits (at stride 4) or heatmaps of the sub-network that ``masks`` (one per module, in order) select."""
    masks = iter(masks)
    x = conv_bn(state, x, "conv1", "bn1", 2, True)
    x = conv_bn(state, x, "conv2", "bn2", 2, True)
    for block in range(4):
        x = bottleneck(state, x, f"layer1.{block}")
    xs = [conv_bn(state, x, "transition1.0.0", "transition1.0.1", relu=True)]
    xs.append(conv_bn(state, x, "transition1.1.0.0", "transition1.1.0.1", 2, True))
    for stage, count in ((2, 1), (3, 4), (4, 3)):
        if stage > 2:
            name = f"transition{stage - 1}.{stage - 1}.0"
            xs.append(conv_bn(state, xs[-1], f"{name}.0", f"{name}.1", 2, True))
        for m in range(count):
            xs = module(state, xs, f"stage{stage}.{m}", next(masks))
    if "final_layer.weight" in state:
        return F.conv2d(xs[0], state["final_layer.weight"], state["final_layer.bias"])
    ups = [F.interpolate(x, size=xs[0].shape[-2:], mode="bilinear", align_corners=False) for x in xs[1:]]
    x = conv_bn(state, torch.cat([xs[0], *ups], 1), "last_layer.0", "last_layer.1", relu=True)
    return F.conv2d(x, state["last_layer.3.weight"], state["last_layer.3.bias"])
