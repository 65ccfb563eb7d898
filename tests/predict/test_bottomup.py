"""From an image to everybody in it and back to its pixels, with a network that sees planted dots."""

import json

import cv2
import numpy as np
import pytest
import torch

from scalenet import BottomUpPoseEstimator
from scalenet.archs.arch import SearchSpace
from scalenet.cli import main
from scalenet.data import DataError
from scalenet.data.labels import Labels
from scalenet.data.sizes import canvas_size
from scalenet.evaluate.pose import evaluate
from scalenet.models.checkpoint import save_weights
from scalenet.nn.heads import BottomUpOutput
from scalenet.nn.network import ScaleNet
from scalenet.pose.grouping import GroupingError

SPACE = SearchSpace("pose", 8, (64, 64), 24, 16, (1, 1, 1), (1, 2))
JOINTS = ("left_eye", "right_eye", "nose")
LABELS = Labels("dots", JOINTS, flip_pairs=((0, 1),), sigmas=(0.1, 0.1, 0.1), convention="aligned")


def network(labels: Labels = LABELS, num_classes: int = 3) -> ScaleNet:
    return ScaleNet(SPACE.hrnet(), task="bottomup", num_classes=num_classes, labels=labels).eval()


class Dots:
    """Stands for a trained network: joints are red, green and blue dots, tags say which half of the image it is.

    Every second call is the mirrored image of a flip test, in which left and right look like each other.
    """

    def __init__(self, mirrored_next: bool = False) -> None:
        self.flip_test, self.sizes = mirrored_next, []

    def __call__(self, x: torch.Tensor) -> BottomUpOutput:
        self.sizes.append(tuple(x.shape))
        colours = x.float() / 255
        mirrored = self.flip_test and len(self.sizes) % 2 == 0
        if mirrored:
            colours = colours[:, [1, 0, 2]]
        fine = torch.nn.functional.avg_pool2d(colours, 2)
        coarse = torch.nn.functional.avg_pool2d(colours, 4)
        side = (torch.arange(coarse.shape[3]) >= coarse.shape[3] / 2).float()
        tags = (9 * (1 - side if mirrored else side)).expand(coarse.shape).clone()
        return BottomUpOutput(coarse, tags, fine)


def dots(height: int, width: int, people: list[list[tuple[float, float]]], radius: float) -> np.ndarray:
    """A black image with soft dots at people's joints (x, y), whole numbers being pixel centres: red, green, blue."""
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for person in people:
        for colour, (px, py) in enumerate(person):
            image[..., colour] += 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))
    return image.clip(0, 255).round().astype(np.uint8)


def two_people(height: int, width: int) -> list[list[tuple[float, float]]]:
    shape = np.array([[0.1, 0.2], [0.3, 0.25], [0.2, 0.5]]) * min(width, height)
    return [[tuple(p) for p in shape], [tuple(p) for p in shape + np.array([width / 2, height * 0.1])]]


def estimator(**options) -> BottomUpPoseEstimator:
    made = BottomUpPoseEstimator(network(), device="cpu", input_size=options.pop("input_size", 128), **options)
    made.engine = Dots(made.flip)
    return made


@pytest.mark.parametrize(
    "image, side, size",
    [
        ((480, 640), 512, (512, 704)), ((640, 480), 512, (704, 512)), ((512, 512), 512, (512, 512)),
        ((300, 300), 500, (512, 512)), ((1000, 10000), 512, (512, 2048)), ((10, 1), 64, (256, 64)),
    ],
)  # fmt: skip
def test_input_sizes(image, side, size):
    assert canvas_size(*image, side) == size


@pytest.mark.parametrize("size", [(128, 128), (240, 320), (333, 200), (90, 700)])
@pytest.mark.parametrize(
    "options", [{}, {"flip": True}, {"scales": (0.5, 1.0, 2.0)}, {"flip": True, "scales": (1.0, 2.0)}]
)
def test_joints_are_where_they_were_planted(size, options):
    people = two_people(*size)
    image = dots(*size, people, radius=max(2.5, min(size) / 40))
    result = estimator(**options)(image)
    assert len(result) == 2 and result.boxes is None and result.keypoints.shape == (2, 3, 3)
    by_side = result.keypoints[np.argsort(result.keypoints[:, 0, 0])]
    scale = max(1.0, size[1] / 4 / min(size))  # image pixels per input pixel may be more than one
    np.testing.assert_allclose(by_side[..., :2], people, atol=1.5 * scale * max(1, min(size) / 128))
    assert (result.keypoints[..., 2] > 0.3).all() and (np.diff(result.scores) <= 0).all()


def test_scales_look_at_several_sizes_and_tags_come_from_one():
    made = estimator(scales=(2.0, 0.5, 1.0), flip=True)
    made(dots(100, 100, two_people(100, 100), 4))
    assert [s[2:] for s in made.engine.sizes] == [(256, 256)] * 2 + [(64, 64)] * 2 + [(128, 128)] * 2


def test_a_flip_test_is_the_mean_of_both_looks_with_the_tags_of_both():
    made = estimator(flip=True)
    coarse, fine, tags = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 32, 32), torch.rand(2, 3, 16, 16)
    looks = iter(range(2))

    def model(x):
        n = next(looks)
        return BottomUpOutput(*(m[n : n + 1] for m in (coarse, tags, fine)))

    made.engine = model
    heat, tag = made._look(torch.rand(1, 3, 64, 64), True)
    up = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    both = (fine + up) / 2
    order = [1, 0, 2]  # left and right change places
    torch.testing.assert_close(heat[0], (both[0] + both[1][order].flip(2)) / 2)
    torch.testing.assert_close(tag[0, :, 0], tags[0])
    torch.testing.assert_close(tag[0, :, 1], tags[1][order].flip(2))


def test_conventions_differ_by_half_a_pixel():
    image = dots(128, 128, two_people(128, 128), 4)
    aligned = estimator()
    authors = estimator()
    authors.aligned = False
    np.testing.assert_allclose(authors(image).keypoints[..., :2] - aligned(image).keypoints[..., :2], 0.5, atol=1e-4)


def test_lists_run_in_batches_of_one_size():
    images = [
        dots(128, 128, two_people(128, 128), 4),
        np.zeros((128, 128, 3), np.uint8),
        dots(128, 256, two_people(128, 256), 4),
    ]
    together, alone = estimator(batch_size=4), estimator()
    results = together(images)
    assert [s[0] for s in together.engine.sizes] == [2, 1]
    assert [len(r) for r in results] == [2, 0, 2]
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(alone(image).keypoints, result.keypoints)


def test_nobody_gives_arrays_of_length_zero():
    result = estimator()(np.zeros((100, 100, 3), np.uint8))
    assert result.keypoints.shape == (0, 3, 3) and result.scores.shape == (0,)
    assert result.to_dict()["keypoints"] == [] and result.draw(np.zeros((100, 100, 3), np.uint8)).shape == (100, 100, 3)


def test_a_very_wide_image_is_made_to_fit():
    made = estimator()
    people = [[(x, 60.0), (x + 600, 80.0), (x + 300, 150.0)] for x in (1000.0, 6000.0)]
    result = made(dots(200, 10000, people, 60))
    assert made.engine.sizes == [(1, 3, 128, 512)]
    assert len(result) == 2
    by_side = result.keypoints[np.argsort(result.keypoints[:, 0, 0])]
    np.testing.assert_allclose(by_side[..., 0], np.array(people)[..., 0], atol=60)  # an input pixel is 20 of these


def test_broken_output_is_an_error():
    made = estimator()
    made.engine = lambda x: BottomUpOutput(*(t * np.nan for t in Dots()(x)))
    with pytest.raises(GroupingError, match="NaN"):
        made(np.zeros((64, 64, 3), np.uint8))


def test_what_cannot_work_is_refused():
    pose = ScaleNet(SPACE.hrnet(), num_classes=3)
    with pytest.raises(ValueError, match="bottom-up network"):
        BottomUpPoseEstimator(pose, device="cpu")
    for wrong, word in (
        ({"scales": (0.5, 2)}, "scales"),
        ({"batch_size": 0}, "batch_size"),
        ({"input_size": -5}, "input_size"),
    ):
        with pytest.raises(ValueError, match=word):
            BottomUpPoseEstimator(network(), device="cpu", **wrong)
    with pytest.raises(ValueError, match="needs labels with flip_pairs"):
        BottomUpPoseEstimator(network(None), device="cpu")(np.zeros((64, 64, 3), np.uint8), flip=True)


def test_a_new_number_of_joints_makes_the_head_anew():
    net = network()
    assert net.bottomup_layer.up[0].in_channels == 8 + 2 * 3 and net.bottomup_layer.up[0].out_channels == 8
    net.reset_classifier(5)
    output = net(torch.zeros(1, 3, 64, 96))
    assert output.heatmaps.shape == output.tags.shape == (1, 5, 16, 24) and output.heatmaps_x2.shape == (1, 5, 32, 48)
    net.reset_classifier(0)
    assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 8, 16, 24)


def dots_data(root, crowd_index: bool = True):
    """Two images of two people in CrowdPose's folders."""
    (root / "json").mkdir()
    (root / "images").mkdir()
    images, annotations = [], []
    for i in (1, 2):
        people = two_people(128, 128)
        cv2.imwrite(str(root / "images" / f"{i}.png"), dots(128, 128, people, 4)[:, :, ::-1])
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 128, "width": 128, "crowdIndex": 0.5})
        for person in people:
            keypoints = np.hstack([person, np.full((3, 1), 2)]).ravel().tolist()
            annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": 1, "num_keypoints": 3,
                                "iscrowd": 0, "keypoints": keypoints, "bbox": [0, 0, 100, 100]})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(JOINTS), "sigmas": [0.1, 0.1, 0.1], "skeleton": []}
    (root / "json" / "crowdpose_test.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    return root


def test_evaluate_scores_a_bottom_up_network(tmp_path, monkeypatch):
    net = network()
    monkeypatch.setattr(ScaleNet, "forward", lambda self, x: Dots()(x))
    data = dots_data(tmp_path)
    metrics = evaluate(net, "crowdpose", data, "test", flip=False, device="cpu")
    assert metrics["ap50"] == pytest.approx(1) and metrics["ap_medium"] > 0.9 and metrics["ap_easy"] is None
    assert metrics["images"] == 2 and metrics["people"] == 4
    assert evaluate(net, "coco", data, "test", flip=False, device="cpu", limit=1)["images"] == 1
    with pytest.raises(DataError, match="--boxes"):
        evaluate(net, "crowdpose", data, "test", boxes="boxes.json")
    with pytest.raises(DataError, match="PCK needs the joints"):
        evaluate(net, "lsp", data, "test")


def test_evaluate_and_pose_commands(tmp_path, capsys):
    net = network()
    metadata = {"format": "scalenet", "arch": net.arch.to_json(), "task": "bottomup", "dataset": "dots",
                "labels": json.dumps(LABELS.to_dict()), "figures": "{}"}  # fmt: skip
    file = str(save_weights(tmp_path / "dots.safetensors", net.state_dict(), metadata))
    (tmp_path / "data").mkdir()
    root = dots_data(tmp_path / "data")
    command = ["evaluate", file, "--dataset", "crowdpose", "--root", str(root), "--split", "test", "--device", "cpu"]
    assert main([*command, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert {"ap", "ap50", "ap75", "ar", "ap_easy", "ap_medium", "ap_hard", "images", "seconds"} <= set(metrics)
    assert main([*command, "--scales", "0.5,1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scales"] == [0.5, 1.0]
    image = str(root / "images" / "1.png")
    assert main(["pose", image, "--scales", "0.5,1", "-o", str(tmp_path)]) == 2
    assert "--scales is for bottom-up networks only" in capsys.readouterr().err
    assert (
        main(["pose", image, "-m", file, "--bottom-up", "-o", str(tmp_path / "out"), "--device", "cpu", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["images"][0]["boxes"] is None
