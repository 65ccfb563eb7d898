"""torch.hub entry points: one per registered network, same name and keywords as in timm, and the predictors.

``torch.hub.load("OWNER/scalenet", "scalenet_s0", pretrained=True, trust_repo=True)``; from a checkout
``torch.hub.load(".", "scalenet_s0", source="local", pretrained=True)``.
"""

dependencies = ["torch", "torchvision", "timm", "huggingface_hub", "safetensors", "cv2", "numpy", "scipy", "tqdm"]


def _network(name, text):
    def entry(pretrained=False, **kwargs):
        import scalenet

        return scalenet.create_model(name, pretrained=pretrained, **kwargs)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"""{text}

    Args:
        pretrained (bool): load the published weights; an error where there are none, never random ones.
        kwargs: as in ``timm.create_model``: num_classes, in_chans, features_only, out_indices, checkpoint_path ...
    """
    return entry


_TEXTS = {
    "scalenet": "A ScaleNAS network of any architecture: arch= an Arch, a dict, a JSON file, a name or hrnet_w32.",
    "scalenet_s0": "ScaleNet-S0, this project's own: CamVid's 11 classes, 360x480, weights in the package.",
    "scalenet_p0": "ScaleNet-P0, this project's own: COCO's 17 joints of one person, 256x192, weights in the package.",
    **{f"scalenet_s{i}": f"ScaleNet-S{i}: Cityscapes' 19 classes, 1024x2048." for i in (1, 2, 3, 4)},
    **{f"scalenet_p{i}": f"ScaleNet-P{i}: heatmaps of COCO's 17 joints, top-down." for i in (1, 2, 3, 4)},
    "scalenet_p0_bottomup": "ScaleNet-P0, this project's own, bottom-up: COCO's 17 joints of everyone, 512x512.",
    **{f"scalenet_p{i}_bottomup": f"ScaleNet-P{i}, bottom-up: everyone in the image." for i in (1, 2, 3, 4)},
}
globals().update({name: _network(name, text) for name, text in _TEXTS.items()})


def segmenter(model="scalenet_s0", **kwargs):
    """A ready predictor: ``segmenter()(image)`` gives an index mask, classes and their shares.

    Args:
        model: a registered name, "hf-hub:...", "local-dir:...", a .safetensors file or a network.
        kwargs: as in ``scalenet.Segmenter``: device, batch_size, flip, scales, window ...
    """
    import scalenet

    return scalenet.Segmenter(model, **kwargs)


def pose_estimator(model="scalenet_p0", **kwargs):
    """A ready predictor: ``pose_estimator()(image)`` gives keypoints and scores of everybody, or of people in boxes.

    Args:
        model: a registered name, "hf-hub:...", "local-dir:...", a .safetensors file or a network.
        kwargs: as in ``scalenet.PoseEstimator``: device, batch_size, flip, detector ...
    """
    import scalenet

    return scalenet.PoseEstimator(model, **kwargs)
