"""Person detectors in ONNX files of YOLOX's form: small graphs whose output is known, so that boxes are exact."""

import sys
from pathlib import Path

import numpy as np
import pytest

from scalenet.cli import main
from scalenet.data.images import save_image
from scalenet.predict.topdown import PoseEstimator
from scalenet.predict.yolox import YoloxDetector, grid, letterbox

from ..small_pose import SpotNetwork

onnx = pytest.importorskip("onnx", reason="pip install onnx")
pytest.importorskip("onnxruntime", reason="pip install onnxruntime")

SIZE = (64, 96)  # (S, T): grids of 8x12, 4x6 and 2x3 cells
ANCHORS = 96 + 24 + 6


def save_graph(
    path: Path, output: np.ndarray, shape: tuple = (1, 3, *SIZE), kind: str = "FLOAT", outputs: int = 1
) -> Path:
    """A graph that answers every input with ``output``, plus nought times the input's mean."""
    from onnx import TensorProto, helper, numpy_helper

    number = getattr(TensorProto, kind)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "nought"], ["nothing"]),
        *(helper.make_node("Add", ["nothing", "known"], [f"output{i}"]) for i in range(outputs)),
    ]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("images", number, shape)],
        [helper.make_tensor_value_info(f"output{i}", TensorProto.FLOAT, None) for i in range(outputs)],
        [numpy_helper.from_array(np.float32(0), "nought"), numpy_helper.from_array(output.astype(np.float32), "known")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def answer(*people: tuple, anchors: int = ANCHORS, classes: int = 2) -> np.ndarray:
    """(1, A, 5 + classes) raw output: at (anchor, x, y, w, h, objectness, class scores…) somebody, else nothing."""
    output = np.zeros((1, anchors, 5 + classes))
    for anchor, *values in people:
        output[0, anchor, : len(values)] = values
    return output


def test_boxes_are_decoded_from_the_cell_of_their_anchor(tmp_path):
    people = [
        (12 * 3 + 5, 0.5, 0.25, np.log(2), np.log(3), 0.9, 1.0),  # stride 8, row 3, column 5
        (96 + 6 * 1 + 4, -0.5, 0.0, np.log(1), np.log(0.5), 0.8, 0.5),  # stride 16, row 1, column 4
        (96 + 24 + 3 * 1 + 0, 0.5, 0.0, np.log(0.5), np.log(1.5), 0.5, 0.9),  # stride 32, row 1, column 0
    ]
    found = YoloxDetector(save_graph(tmp_path / "a.onnx", answer(*people)))(np.zeros((*SIZE, 3), np.uint8))
    expected = [[36, 14, 52, 38, 0.9], [8, 8, 24, 56, 0.45], [48, 12, 64, 20, 0.4]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32


def test_each_anchor_has_its_cell():
    cells, strides = grid(SIZE)
    assert cells.shape == (ANCHORS, 2) and strides.shape == (ANCHORS, 1)
    assert cells[[0, 11, 12, 95, 96, 125]].tolist() == [[0, 0], [11, 0], [0, 1], [11, 7], [0, 0], [2, 1]]
    assert strides[[0, 95, 96, 119, 120], 0].tolist() == [8, 8, 16, 16, 32]


@pytest.mark.parametrize("size", [(64, 96), (32, 200), (500, 100), (3, 900), (900, 3)])
def test_wide_and_tall_images_there_and_back(size, tmp_path):
    """A box that covers the image's place in the input is the image."""
    blob, ratio = letterbox(np.full((*size, 3), 255, np.uint8), SIZE)
    height, width = (max(1, int(n * ratio)) for n in size)
    assert blob.shape == (1, 3, *SIZE) and blob.dtype == np.float32
    assert (blob[..., :height, :width] == 255).all()
    assert (blob[..., height:, :] == 114).all() and (blob[..., width:] == 114).all()
    centre, sides = np.array([ratio * size[1], ratio * size[0]]) / 2, np.array([ratio * size[1], ratio * size[0]])
    covering = (0, *(centre / 8), *np.log(sides / 8), 1.0, 1.0)
    found = YoloxDetector(save_graph(tmp_path / "a.onnx", answer(covering)))(np.zeros((*size, 3), np.uint8))
    np.testing.assert_allclose(found, [[0, 0, size[1], size[0], 1]], rtol=1e-4, atol=1e-3)


def test_the_input_is_bgr_as_it_is():
    blob, _ = letterbox(np.full((64, 96, 3), (10, 20, 250), np.uint8), SIZE)
    assert blob[0, :, 5, 5].tolist() == [250, 20, 10]


def test_threshold_classes_and_overlap(tmp_path):
    def at(column, score, *classes):
        return (column, 0.5, 0.5, np.log(2), np.log(2), score, *classes)

    people = [
        at(1, 0.6, 0.6, 0.9), at(3, 0.9, 0.3, 0.9), at(6, 0.95, 0.8), at(7, 0.95, 0.9), at(9, 0.9, 0.0, 0.9),
        (11, 0.5, 0.5, 50, 0.0, 0.9, 0.9),
    ]  # fmt: skip
    file = save_graph(tmp_path / "a.onnx", answer(*people))
    image = np.zeros((*SIZE, 3), np.uint8)
    first = YoloxDetector(file)(image)
    np.testing.assert_allclose(first[:, 4], [0.855, 0.81, 0.76, 0.36], rtol=1e-5)
    (
        np.testing.assert_allclose(first[1], [0, 0, 96, 8, 0.81], rtol=1e-5),
        "a side beyond all bounds ends at the image's",
    )
    assert len(YoloxDetector(file, threshold=0.2)(image)) == 5
    overlapping = YoloxDetector(file, overlap=0.3)(image)
    np.testing.assert_allclose(overlapping[:, 4], [0.855, 0.81, 0.36], rtol=1e-5)
    assert YoloxDetector(save_graph(tmp_path / "b.onnx", answer()))(image).shape == (0, 5)


def test_boxes_that_are_decoded_already_are_taken_as_pixels(tmp_path):
    cells, strides = grid(SIZE)
    output = answer((40, 0, 0, 0, 0, 0.9, 1.0))
    output[0, :, :2], output[0, :, 2:4] = (cells + 0.5) * strides, strides
    found = YoloxDetector(save_graph(tmp_path / "a.onnx", output))(np.zeros((*SIZE, 3), np.uint8))
    np.testing.assert_allclose(found, [[32, 24, 40, 32, 0.9]], rtol=1e-5)


def test_an_input_of_free_size_gets_640(tmp_path):
    output = answer((0, 0.5, 0.5, np.log(80), np.log(80), 1.0, 1.0), anchors=8400)
    detector = YoloxDetector(save_graph(tmp_path / "a.onnx", output, ("batch", 3, "height", None)))
    assert detector.size == (640, 640)
    np.testing.assert_allclose(detector(np.zeros((320, 320, 3), np.uint8)), [[0, 0, 162, 162, 1]], rtol=1e-5)


@pytest.mark.parametrize("change, found", [
    ({"shape": (1, 3, 64, 100)}, r"an input \(1, 3, 64, 100\) of tensor\(float\)"),
    ({"shape": (1, 3, 4096, 64)}, r"an input \(1, 3, 4096, 64\)"), ({"shape": (1, 1, 64, 96)}, r"an input \(1, 1, "),
    ({"shape": (2, 3, 64, 96)}, r"an input \(2, 3"), ({"shape": (3, 64, 96)}, r"an input \(3, 64, 96\)"),
    ({"kind": "FLOAT16"}, r"of tensor\(float16\)"), ({"outputs": 2}, "1 inputs and 2 outputs"),
    ({"output": answer(anchors=100)}, r"an output \(1, 100, 7\) for an input \(1, 3, 64, 96\), whose A is 126"),
    ({"output": answer(classes=0)}, r"an output \(1, 126, 5\)"), ({"output": answer()[0]}, r"an output \(126, 7\)"),
    ({"output": answer((3, 0, 0, 0, 0, -4.0, 2.0))}, r"scores in -4\.\.2"),
    ({"output": answer((3, 0, 0, 0, 0, np.nan))}, r"scores in nan"),
])  # fmt: skip
def test_other_forms_are_told_with_what_is_there_and_what_should_be(tmp_path, change, found):
    file = save_graph(tmp_path / "a.onnx", **{"output": answer(), **change})
    with pytest.raises(
        ValueError, match=rf"a\.onnx is not of YOLOX's form: it has .*{found}.*; needed are one input"
    ) as e:
        YoloxDetector(file)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello, I am no network", b"\x08\x07\x12\x04test" * 9], ids=["empty", "text", "cut"]
)
def test_what_is_no_onnx_file_is_one_line(tmp_path, content, capfd):
    file, image = tmp_path / "a.onnx", tmp_path / "a.png"
    file.write_bytes(content)
    save_image(image, np.zeros((20, 30, 3), np.uint8))
    assert main(["pose", str(image), "-o", str(tmp_path / "out"), "--detector", str(file)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "a.onnx is no ONNX file that can be read" in err
    assert not (tmp_path / "out").exists()


def test_a_graph_that_fails_is_one_line(tmp_path, capfd):
    file = save_graph(tmp_path / "a.onnx", answer(), ("batch", 3, "height", "width"))
    model = onnx.load(file)
    model.graph.node.append(onnx.helper.make_node("Reshape", ["images", "shape"], ["broken"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([7, 11]), "shape"))
    model.graph.output[0].name = "broken"
    onnx.save(model, file)
    with pytest.raises(ValueError, match=r"a\.onnx cannot be run on an input \(1, 3, 640, 640\)") as e:
        YoloxDetector(file)
    assert "\n" not in str(e.value) and capfd.readouterr() == ("", "")


def test_without_onnxruntime_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    file = save_graph(tmp_path / "a.onnx", answer())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        YoloxDetector(file)


def test_its_people_are_looked_at(tmp_path):
    file = save_graph(tmp_path / "A.ONNX", answer((40, 0.5, 0.5, np.log(4), np.log(4), 0.9, 1.0)))
    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=file)
    result = estimator(np.zeros((128, 192, 3), np.uint8))
    np.testing.assert_allclose(result.boxes, [[40, 24, 104, 88]], rtol=1e-5)
    assert result.keypoints.shape == (1, 3, 3)
