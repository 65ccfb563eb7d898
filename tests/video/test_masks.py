"""Masks of a video's frames."""

import numpy as np
import pytest
import torch
from PIL import Image

from scalenet import Segmenter, cli
from scalenet.video.process import VideoError, process_video
from scalenet.video.reader import read_frames

from ..commands.test_cli import as_json, fails
from ..small_networks import small_network, write
from ..small_video import moving, write_clip
from .test_process import Plain


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving(5, (62, 80)))


def test_each_frame_has_a_palette_png_of_its_classes(net, clip, tmp_path):
    segmenter = Segmenter(net, "cpu", batch_size=2)
    summary = process_video(clip, tmp_path / "out.mp4", segmenter, masks=tmp_path / "new" / "masks")
    assert summary.masks == tmp_path / "new" / "masks" and summary.to_dict()["masks"] == str(summary.masks)
    files = sorted(summary.masks.iterdir())
    assert [p.name for p in files] == [f"{i:06}.png" for i in range(5)]
    found = segmenter.stream(frame.image for frame in read_frames(clip))
    for path, result in zip(files, found, strict=True):
        with Image.open(path) as image:
            assert image.mode == "P" and tuple(image.getpalette()[3:6]) == tuple(segmenter.labels.colours[1])
            np.testing.assert_array_equal(np.asarray(image), result.mask)


def test_only_a_new_or_empty_folder_and_only_segmentation(net, clip, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for folder in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        with pytest.raises(VideoError, match="not an empty folder"):
            process_video(clip, tmp_path / "out.mp4", Segmenter(net, "cpu"), masks=folder)
    with pytest.raises(VideoError, match="masks need a segmentation network"):
        process_video(clip, tmp_path / "out.mp4", Plain(), masks=tmp_path / "masks")
    assert not (tmp_path / "out.mp4").exists()


def test_the_command_writes_them(net, clip, capsys, tmp_path):
    weights, masks = write(net, tmp_path / "net.safetensors"), tmp_path / "masks"
    command = ("segment", clip, "-m", weights, "-o", tmp_path / "out.mp4", "--device", "cpu")
    assert as_json(capsys, *command, "--masks", masks)["masks"] == str(masks) and len(list(masks.iterdir())) == 5
    assert "not an empty folder" in fails(capsys, *command, "--masks", masks, "--overwrite")
    assert "--probabilities is for images" in fails(capsys, *command, "--probabilities", "--overwrite")
    assert cli.main([*map(str, command), "--overwrite", "--masks", str(tmp_path / "other")]) == 0
    assert f"  masks   {tmp_path / 'other'}" in capsys.readouterr().out
