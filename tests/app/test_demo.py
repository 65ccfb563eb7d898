"""The app as programs use it: endpoints, results, refusals, files, many visitors at once."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from scalenet import BottomUpPoseEstimator, PoseEstimator, Segmenter
from scalenet.app import networks
from scalenet.app.examples import write_panning_clip
from scalenet.data.images import load_image, save_image
from scalenet.data.samples import sample_photograph, sample_portrait
from scalenet.models.info import model_info
from scalenet.video.writer import VideoWriter

from ..small_app import connect, running, send, tiny_models
from ..small_networks import sample_image

gradio_client = pytest.importorskip("gradio_client", reason="pip install gradio_client")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def temporary(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def app(models, temporary):
    with running(models, temporary) as url:
        yield url


@pytest.fixture(scope="module")
def client(app, tmp_path_factory):
    return connect(app, tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "street.png"
    save_image(path, sample_image(120, 160))
    return path


def refused(client, endpoint, *arguments) -> str:
    """The one polite line that an endpoint answers with."""
    with pytest.raises(gradio_client.exceptions.AppError) as error:
        client.predict(*arguments, api_name=endpoint)
    message = str(error.value)
    assert "\n" not in message and "Traceback" not in message and "/gradio" not in message, message
    return message


def test_endpoints_take_the_image_first_and_everything_else_has_a_default(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/segment", "/pose", "/everyone", "/video"}
    for name, endpoint in endpoints.items():
        first, *others = endpoint["parameters"]
        assert first["parameter_name"] == ("clip" if name == "/video" else "image")
        assert not first["parameter_has_default"] and all(p["parameter_has_default"] for p in others)
        assert others[0]["parameter_name"] == "model"


def test_segment_gives_what_the_segmenter_gives(client, photo):
    shown, legend, facts, overlay, mask, values = client.predict(send(photo), api_name="/segment")
    result = Segmenter("scalenet_s0")(photo)
    np.testing.assert_array_equal(cv2.imread(mask, cv2.IMREAD_UNCHANGED), result.mask)
    assert load_image(shown).shape == (120, 160, 3)
    assert load_image(overlay).shape[0] > 120, "the legend is below"
    values = json.loads(Path(values).read_text())
    assert {k: values[k] for k in result.to_dict()} == result.to_dict()
    facts_of_it = model_info("scalenet_s0").summary()
    assert {k: values[k] for k in ("params", "macs", "input_size")} == {
        k: facts_of_it[k] for k in ("params", "macs", "input_size")
    }
    assert values["model"] == "scalenet_s0" and values["seconds"] > 0
    assert all(name in legend for name in result.found(0.001)) and f"{facts_of_it['params'] / 1e6:.2f} million" in facts
    assert Path(overlay).name == "street_overlay.png" and Path(mask).name == "street_mask.png"


def test_colours_keep_their_order_and_opacity_is_the_overlays(client, photo):
    bare, *_ = client.predict(send(photo), opacity=0, api_name="/segment")
    full, *_ = client.predict(send(photo), opacity=1, api_name="/segment")
    expected = load_image(photo).astype(int)
    assert np.abs(load_image(bare) - expected).mean() < 8 < np.abs(load_image(full) - expected).mean()


def test_classes_under_the_threshold_are_neither_drawn_nor_named(client, photo):
    _, legend, _, overlay, mask, _ = client.predict(send(photo), opacity=1, smallest=20, api_name="/segment")
    result = Segmenter("scalenet_s0")(photo)
    kept = result.found(0.2)
    assert 0 < len(kept) < len(result.found())
    assert legend.count("<li>") == len(kept) and all(name in legend for name in kept)
    left = np.isin(result.mask, [i for i, name in enumerate(result.classes) if name not in kept])
    drawn = load_image(overlay)[:120, :160]
    np.testing.assert_array_equal(drawn[left], load_image(photo)[left])
    assert len(np.unique(cv2.imread(mask, cv2.IMREAD_UNCHANGED))) == len(result.found()), "the mask is whole"


def test_a_telephones_image_stands_upright(client, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(sample_image(80, 120)).save(tmp_path / "p.jpg", exif=exif)
    shown, _, _, _, mask, _ = client.predict(send(tmp_path / "p.jpg"), api_name="/segment")
    assert load_image(shown).shape == (120, 80, 3)
    assert cv2.imread(mask, cv2.IMREAD_UNCHANGED).shape == (120, 80)


def test_a_large_image_is_shown_small_and_given_back_whole(client, tmp_path):
    save_image(tmp_path / "p.png", sample_image(1000, 2000))
    shown, _, _, _, mask, _ = client.predict(send(tmp_path / "p.png"), api_name="/segment")
    assert load_image(shown).shape == (800, 1600, 3)
    assert cv2.imread(mask, cv2.IMREAD_UNCHANGED).shape == (1000, 2000)


@pytest.fixture(scope="module")
def finder(models) -> PoseEstimator:
    """Finds people by the bottom-up network that the app offers too."""
    return PoseEstimator(models["pose"][0], detector=f"bottomup:{models['bottomup'][0]}")


def test_pose_finds_people_or_takes_boxes(client, finder):
    estimator, portrait = finder, sample_portrait()
    *_, found = client.predict(send(portrait), api_name="/pose")
    values, expected = json.loads(Path(found).read_text()), estimator(portrait).to_dict()
    assert {k: values[k] for k in expected} == expected and len(values["boxes"]) == len(values["scores"]) >= 1
    text = "100, 50, 300, 500\n\n10 20 200 300"
    shown, people, _, drawn, values = client.predict(send(portrait), boxes=text, api_name="/pose")
    values = json.loads(Path(values).read_text())
    expected = estimator(portrait, [[100, 50, 400, 550], [10, 20, 210, 320]]).to_dict()
    assert values["size"] == [600, 512] and {k: values[k] for k in expected} == expected
    assert people.count("<li>") == 2
    assert load_image(drawn).shape == load_image(shown).shape == (600, 512, 3)


def test_pose_threshold_and_opacity(client, finder):
    portrait = sample_portrait()
    result = finder(portrait, [[0, 0, 512, 600]])
    surest = int((result.keypoints[..., 2] >= 1).sum())
    assert surest < (result.keypoints[..., 2] >= 0.2).sum()
    whole = {"boxes": "0, 0, 512, 600", "api_name": "/pose"}
    _, people, _, drawn, _ = client.predict(send(portrait), threshold=1, **whole)
    assert f"{surest} of 17 joints" in people
    np.testing.assert_array_equal(load_image(drawn), result.draw(portrait, 1, colour_by="person"))
    *_, drawn, _ = client.predict(send(portrait), opacity=0, **whole)
    np.testing.assert_array_equal(load_image(drawn), load_image(portrait))


def test_everyone_gives_what_the_estimator_gives(client, models):
    portrait = sample_portrait()
    *_, values = client.predict(send(portrait), api_name="/everyone")
    expected = BottomUpPoseEstimator(models["bottomup"][0])(portrait).to_dict()
    values = json.loads(Path(values).read_text())
    assert {k: values[k] for k in expected} == expected and values["model"] == "tiny_everyone"


@pytest.mark.parametrize("model, legend", [("scalenet_s0", "building"), ("tiny_pose", " at once")])
def test_video(client, tmp_path, model, legend):
    clip = write_panning_clip(sample_photograph(), tmp_path)
    shown, found, facts, video, lines = client.predict(send(clip), model, api_name="/video")
    capture = cv2.VideoCapture(video)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 24 and capture.get(cv2.CAP_PROP_FPS) == 12
    assert capture.read()[1].shape == (240, 320, 3)
    rows = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(24))
    assert "24 frames of 320 x 240 pixels" in facts and legend in found and str(shown).endswith(".mp4")


def flat_png(path: Path, size: tuple[int, int]) -> Path:
    """A PNG of one colour: few bytes, many pixels."""
    Image.new("1", size[::-1]).save(path)
    return path


def bad_image(kind: str, folder: Path) -> Path:
    path = folder / "p.png"
    if kind == "text":
        path.write_text("this is no image")
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        save_image(path, sample_image(64, 80))
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "page":
        path = folder / "p.svg"
        path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    else:
        flat_png(path, {"large": (10_000, 10_000), "bomb": (20_000, 20_000)}[kind])
    return path


@pytest.mark.parametrize("endpoint", ["/segment", "/pose", "/everyone"])
@pytest.mark.parametrize("kind", ["text", "empty", "cut", "page", "large", "bomb"])
def test_bad_images_are_refused_in_one_line(client, tmp_path, endpoint, kind):
    message = refused(client, endpoint, send(bad_image(kind, tmp_path)))
    assert message.startswith("This file "), message
    assert ("too many pixels" in message) == (kind in ("large", "bomb"))


@pytest.mark.parametrize("endpoint", ["/segment", "/pose", "/everyone", "/video"])
def test_nothing_is_asked_for_politely(client, endpoint):
    assert "yet: upload one" in refused(client, endpoint, None)


@pytest.mark.parametrize("kind", ["empty", "text", "long", "image"])
def test_bad_clips_are_refused_in_one_line(client, tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "long":
        writer = VideoWriter(path, (32, 32), Fraction(1), Fraction(1))
        for number in range(90):
            writer.write(np.zeros((32, 32, 3), np.uint8), number, 1)
        writer.close()
    else:
        path.write_bytes({"empty": b"", "text": b"no video", "image": sample_image(8, 8).tobytes()}[kind])
    message = refused(client, "/video", send(path))
    assert message.startswith("The clip") and (kind != "long" or "90 seconds" in message), message


def test_wrong_settings_are_refused_in_one_line(client, photo):
    assert "line 2" in refused(client, "/pose", send(photo), "tiny_pose", "1, 2, 3, 4\n5, 6, x")
    assert "no area" in refused(client, "/pose", send(photo), "tiny_pose", "1, 2, 0, 4")
    assert "too many" in refused(client, "/pose", send(photo), "tiny_pose", "1, 2, 3, 4\n" * 101)
    assert "scalenet_s9" in refused(client, "/segment", send(photo), "scalenet_s9")
    assert refused(client, "/segment", send(photo), "scalenet_s0", 7.0)


def call(url: str, endpoint: str, path: str) -> str:
    """What the server streams when a program names a path by hand."""
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "scalenet_s0", 0.6, 0.1]}
    event = httpx.post(f"{url}gradio_api/call{endpoint}", json=data).json()["event_id"]
    return httpx.get(f"{url}gradio_api/call{endpoint}/{event}", timeout=60).text


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "README.md"])
def test_paths_outside_the_upload_folder_are_refused(app, path):
    answer = call(app, "/segment", path)
    assert "event: error" in answer and "not uploaded by a user" in answer and "Traceback" not in answer
    assert httpx.get(f"{app}gradio_api/file={path}").status_code in (403, 404)


def test_links_are_not_fetched(app):
    answer = call(app, "/segment", "https://example.org/image.png")
    assert "event: error" in answer and "not a link" in answer


def test_names_cannot_leave_the_upload_folder(app, temporary):
    files = {"files": ("../../../outside.png", b"x", "image/png")}
    (path,) = httpx.post(f"{app}gradio_api/upload", files=files).json()
    assert Path(path).resolve().is_relative_to(temporary.resolve())


def test_twenty_at_once_share_one_network(client, photo, monkeypatch):
    built = []
    monkeypatch.setattr(networks, "_build", lambda *a: built.append(a))
    jobs = [client.submit(send(photo), api_name="/segment") for _ in range(20)]
    masks = [cv2.imread(job.result(timeout=120)[4], cv2.IMREAD_UNCHANGED) for job in jobs]
    assert all((mask == masks[0]).all() for mask in masks) and not built
