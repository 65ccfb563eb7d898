"""The cookbook's service, taken from its page and asked as a browser or curl would."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from scalenet.data.images import encode_png

from .docs_pages import blocks
from .small_networks import sample_image

pytest.importorskip("fastapi", reason="pip install fastapi")
pytest.importorskip("httpx", reason="pip install httpx")
pytest.importorskip("python_multipart", reason="pip install python-multipart")

PNG = encode_png(sample_image(48, 64))


@pytest.fixture(scope="module")
def client():
    from fastapi.testclient import TestClient

    (block,) = (b for b in blocks("docs/cookbook.md") if "fastapi.FastAPI()" in b.text)
    names = {"__name__": "service"}
    exec(compile(block.text, block.where, "exec", dont_inherit=True), names)
    with TestClient(names["app"]) as client:
        yield client


def test_an_image_is_answered_with_its_classes(client):
    reply = client.post("/segment", files={"image": ("street.png", PNG, "image/png")})
    assert reply.status_code == 200
    told = reply.json()
    assert told["size"] == [48, 64] and told["dataset"] == "camvid" and "sky" in told["classes"]
    assert len(told["shares"]) == len(told["classes"]) and sum(told["shares"]) == pytest.approx(1, abs=1e-4)
    assert {"size", "classes", "shares", "confidence"} <= set(told)  # as the page says


def test_several_at_once_get_the_same_answer(client):
    def ask(_):
        return client.post("/segment", files={"image": ("street.png", PNG, "image/png")}).json()

    with ThreadPoolExecutor(3) as pool:
        one, *others = pool.map(ask, range(3))
    assert others == [one, one] and one["size"] == [48, 64]


@pytest.mark.parametrize("body", [b"", b"no image", b"http://127.0.0.1:1/street.png", PNG[:200]])
def test_what_is_no_image_is_refused_in_one_line(client, body):
    reply = client.post("/segment", files={"image": ("street.png", body, "image/png")})
    assert reply.status_code == 400
    detail = reply.json()["detail"]
    assert detail and "\n" not in detail


def test_a_missing_image_is_the_callers_mistake(client):
    assert client.post("/segment").status_code == 422
