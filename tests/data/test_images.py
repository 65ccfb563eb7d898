"""Whatever a user holds becomes the same RGB array, and what is no image says so."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scalenet.data.images import (
    ImageError,
    as_list,
    check_file,
    decode_rgb,
    load_image,
    read_as_annotated,
    save_image,
    to_input,
)  # fmt: skip

from ..small_networks import sample_image


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sample_image(40, 60)


def test_all_forms_give_the_same_pixels(photo, tmp_path):
    path = tmp_path / "p.png"
    save_image(path, photo)
    uint8 = torch.from_numpy(photo).permute(2, 0, 1)
    for form in (path, str(path), Image.fromarray(photo), photo, uint8, uint8.float() / 255, uint8.double() / 255):
        got = load_image(form)
        assert got.dtype == np.uint8 and got.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(got, photo)


@pytest.mark.parametrize("orientation, turn", [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(photo, tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "p.jpg"
    Image.fromarray(photo).save(path, exif=exif, quality=95)
    upright = np.rot90(
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), turn
    )
    np.testing.assert_array_equal(load_image(path), upright[:, :, ::-1])
    np.testing.assert_array_equal(load_image(Image.open(path)), load_image(path))


@pytest.mark.parametrize("orientation, said, turned", [
    (6, "stored", 0), (6, "turned", 1), (6, "neither", 0), (6, "nothing", 0), (3, "stored", 0), (1, "turned", 0),
])  # fmt: skip
def test_annotations_say_in_which_frame_an_image_is(photo, tmp_path, orientation, said, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "p.jpg"
    Image.fromarray(photo).save(path, exif=exif, quality=95)
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[:, :, ::-1]
    height, width = stored.shape[:2]
    assert height != width
    sizes = {"stored": (height, width), "turned": (width, height), "neither": (1, 2), "nothing": (None, None)}
    expected = load_image(path) if turned else stored
    np.testing.assert_array_equal(read_as_annotated(path, sizes[said]), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_other_modes_become_rgb(photo, tmp_path, mode):
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(photo).convert(mode)
    path = tmp_path / ("p.jpg" if mode == "CMYK" else "p.png")
    image.save(path)
    from_file, from_pil = load_image(path), load_image(Image.open(path))
    assert from_file.shape == from_pil.shape == photo.shape
    expected = {"RGBA": photo, "P": np.array(image.convert("RGB"))}.get(mode)
    if mode in ("L", "LA", "I;16"):
        expected = np.repeat(grey[:, :, None], 3, 2)
    if expected is not None:
        assert np.abs(from_file.astype(int) - expected).max() <= 1
        assert np.abs(from_pil.astype(int) - expected).max() <= 1


def test_sixteen_bit_colour_file(photo, tmp_path):
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), photo[:, :, ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_image(path), photo)


def test_grey_alpha_and_one_pixel_arrays(photo):
    assert load_image(photo[:, :, 0]).shape == photo.shape
    np.testing.assert_array_equal(load_image(np.dstack([photo, photo[:, :, :1]])), photo)
    assert load_image(np.full((1, 1, 3), 7, np.uint8)).tolist() == [[[7, 7, 7]]]
    assert load_image(torch.zeros(1, 1, 1)).shape == (1, 1, 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""
    body = b"\x89PNG\r\n\x1a\n"
    pixels = zlib.compress(bytes(1000))
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", pixels),
        (b"IEND", b""),
    ):
        body += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return body


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_too_many_pixels_are_refused_from_the_header(tmp_path, side, recwarn):
    path = tmp_path / "large.png"
    path.write_bytes(bomb(side, side))
    for door in (load_image, check_file):
        with pytest.raises(ImageError, match="too many pixels"):
            door(path)
    assert not recwarn.list


def test_a_side_that_no_reader_takes_is_one_clear_error(tmp_path):
    path = tmp_path / "wide.bmp"
    Image.new("RGB", (1_100_000, 2)).save(path)
    with pytest.raises(ImageError, match=r"wide\.bmp is damaged, or in a form that cannot be read"):
        load_image(path)


def test_files_that_are_no_images(photo, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not an image")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for path in (text, empty):
        with pytest.raises(ImageError, match=rf"{path.name} is not an image"):
            load_image(path)
    with pytest.raises(FileNotFoundError, match="no image"):
        load_image(tmp_path / "missing.png")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        load_image(tmp_path)
    for suffix in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, suffix)
        with pytest.raises(ImageError, match=r"damaged|not an image"):
            decode_rgb(buffer.getvalue()[: len(buffer.getvalue()) // 2])


@pytest.mark.parametrize(
    "wrong, says",
    [
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((4, 5, 3), np.float32), "uint8"),
        (np.zeros((4, 5, 2), np.uint8), r"\(H, W, 3\)"),
        (torch.zeros(6, 5, 3), r"must be \(3, H, W\)"),
        (torch.zeros(2, 3, 4, 5), "several as a list"),
        (torch.full((3, 4, 5), 2.0), "0..1"),
        (torch.full((3, 4, 5), -0.1), "0..1"),
        (torch.full((3, 4, 5), float("nan")), "0..1"),
        (torch.zeros((3, 4, 5), dtype=torch.int32), "uint8"),
        (torch.zeros(3, 4, 5, device="meta"), "hold its values"),
        (torch.zeros(3, 4, 5).to_sparse(), "hold its values"),
        (7, "must be a path"),
        (Image.new("F", (5, 4)), "no known range"),
    ],
)
def test_what_is_no_image_says_what_is_wanted(wrong, says):
    with pytest.raises(ImageError, match=says):
        load_image(wrong)


def test_a_name_too_long_for_any_file_is_one_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="no image xxx"):
        load_image("x" * 300 + ".png")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_damaged_files_raise_image_error_or_give_a_image(at, value, cut):
    data = bytearray(cv2.imencode(".png", np.arange(192, dtype=np.uint8).reshape(8, 8, 3))[1].tobytes())
    data[at % len(data)] = value
    try:
        got = decode_rgb(bytes(data[: len(data) - cut % len(data)]))
    except ImageError:
        return
    assert got.ndim == 3 and got.shape[2] == 3 and got.dtype == np.uint8


def test_save_image_leaves_nothing_behind(photo, tmp_path):
    save_image(tmp_path / "index.png", photo[:, :, 0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "index.png"), cv2.IMREAD_UNCHANGED), photo[:, :, 0])
    with pytest.raises(FileNotFoundError):
        save_image(tmp_path / "no" / "folder.png", photo)
    assert [p.name for p in tmp_path.iterdir()] == ["index.png"]


def test_network_input_has_the_statistics_asked_for(photo):
    x = to_input(photo[None].copy(), torch.device("cpu"), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert x.shape == (1, 3, *photo.shape[:2]) and x.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(x[0].permute(1, 2, 0), photo / 127.5 - 1, atol=1e-5)


def test_a_list_is_told_from_a_image(photo):
    assert as_list(photo)[1] and as_list("p.png") == (["p.png"], True)
    assert as_list(["a", "b"]) == (["a", "b"], False)
    assert as_list(()) == ([], False)


def test_rounding_beyond_one_is_forgiven():
    x = torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1).expand(3, 4, 5).clone()
    x[1] += 2e-7
    x[0] -= 2e-7
    assert load_image(x)[0, 0].tolist() == [0, 255, 128]
