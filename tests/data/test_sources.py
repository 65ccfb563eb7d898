"""Images that are no files: addresses, bytes, file objects, batches; HEIC with and without its reader."""

import builtins
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scalenet.data.images import ImageError, as_list, check_file, load_image
from scalenet.data.sources import fetch, read_stream

from ..small_networks import sample_image


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sample_image(40, 60)


@pytest.fixture(scope="module")
def png(photo) -> bytes:
    return cv2.imencode(".png", photo[:, :, ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def server(png):
    """Gives the image, a page that is none, too many bytes, bytes drop by drop, and redirects."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path in ("/away", "/local"):
                self.send_response(302)
                self.send_header("Location", "/street.png" if self.path == "/away" else "file:///etc/hostname")
                return self.end_headers()
            self.send_response(404 if self.path == "/missing.png" else 200)
            self.end_headers()
            if self.path == "/slow":
                for byte in png[:40]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
            elif self.path == "/page":
                self.wfile.write(b"<html>")
            else:
                self.wfile.write(png)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_bytes_and_file_objects_are_images(photo, png, server, tmp_path):
    (tmp_path / "p.png").write_bytes(png)
    with (tmp_path / "p.png").open("rb") as file:
        for form in (png, bytearray(png), io.BytesIO(png), file, f"{server}/street.png", f"{server}/away"):
            np.testing.assert_array_equal(load_image(form), photo)


@pytest.mark.parametrize(
    ("path", "words"),
    [("missing.png", "404"), ("page", "page is not an image"), ("local", "cannot be had")],
)
def test_an_address_without_an_image_says_so(server, path, words):
    with pytest.raises(ImageError, match=words):
        load_image(f"{server}/{path}")


def test_downloads_are_bounded(server, png):
    with pytest.raises(ImageError, match="larger than 0 MB"):
        fetch(f"{server}/street.png", max_bytes=len(png) - 1)
    with pytest.raises(ImageError, match=r"longer than 0\.2 seconds"):
        fetch(f"{server}/slow", seconds=0.2)
    for url in ("http://127.0.0.1:1/x.png", "http://", "https://[::1"):
        with pytest.raises(ImageError, match="cannot be had"):
            fetch(url)
    with pytest.raises(ImageError, match="larger than"):
        read_stream(io.BytesIO(png), 10)


def test_text_is_no_image(photo):
    with pytest.raises(ImageError, match="mode 'rb'"):
        load_image(io.StringIO("text"))
    with pytest.raises(ImageError, match="got int"):
        load_image(3)


def test_several_images_in_one_value(photo, png):
    batch = torch.from_numpy(np.stack([photo, photo[::-1]])).permute(0, 3, 1, 2)
    for several in (batch, np.stack([photo, photo[::-1]]), (x for x in (photo, photo[::-1].copy())), iter([photo] * 2)):
        images, single = as_list(several)
        assert not single and len(images) == 2
        np.testing.assert_array_equal(load_image(images[0]), photo)
    assert as_list(io.BytesIO(png))[1] and as_list(png)[1]


def test_heic(photo, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="pip install pillow-heif")
    path = tmp_path / "phone.heic"
    heif.from_pillow(Image.fromarray(photo)).save(path, quality=95)
    check_file(path)
    for form in (path, path.read_bytes()):
        got = load_image(form)
        assert got.shape == photo.shape and np.abs(got.astype(int) - photo).mean() < 12
    own = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError
        return own(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for door in (load_image, check_file):
        with pytest.raises(ImageError, match="is HEIC, which needs pillow-heif: pip install pillow-heif"):
            door(path)
