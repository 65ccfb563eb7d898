"""Annotations of small images for the same images at full size."""

import json

import cv2
import numpy as np
import pytest

from training.__main__ import main

from ..small_crowds import stanford_form


def test_annotations_follow_the_images(tmp_path, capsys):
    root, full = stanford_form(tmp_path / "small"), tmp_path / "full"
    full.mkdir()
    for path in root.glob("images/*/*"):
        image = cv2.imread(str(path))
        size = (2 * image.shape[1], 3 * image.shape[0])
        cv2.imwrite(str(full / f"{path.stem}.png"), cv2.resize(image, size, interpolation=cv2.INTER_NEAREST))
    out = tmp_path / "out"
    argv = ["rescale", str(root), "--images", str(full), "-o", str(out)]
    assert main(argv) == 0
    before, after = (json.loads((r / "annotations" / "train.json").read_text()) for r in (root, out))
    assert capsys.readouterr().out.split()[0] == str(len(list(root.glob("images/*/*"))))
    old, new = before["annotations"][0], after["annotations"][0]
    joints, moved = (np.reshape(a["keypoints"], (-1, 3)) for a in (old, new))
    seen = joints[:, 2] > 0
    np.testing.assert_allclose(moved[seen, :2] + 0.5, (joints[seen, :2] + 0.5) * [2, 3], atol=0.01)
    np.testing.assert_allclose(new["bbox"], np.multiply(old["bbox"], [2, 3, 2, 3]), atol=0.01)
    assert new["area"] == pytest.approx(6 * old["area"], rel=1e-4)
    assert after["images"][0]["width"] == 2 * before["images"][0]["width"]
    assert main(argv) == 2 and "exists already" in capsys.readouterr().err
    next(full.iterdir()).unlink()
    assert main([*argv[:-1], str(tmp_path / "other")]) == 2 and "no image of the stem" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
