"""Image loading and preprocessing: anything image-like to RGB uint8 (H, W, 3), and that to a network's input."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from .io import atomic_write
from .sources import HEADER, ImageError, fetch, is_heic, is_url, read_stream, register_heic

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SUFFIXES = (".webp", ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
PHONE_SUFFIXES = (".heic", ".heif")  # read where pillow-heif is installed
MAX_PIXELS = 100_000_000
ORIENTATION, LYING = 274, 5  # EXIF's tag; from this value on height and width change places
ROUNDING = 1e-3  # what resizing may leave beyond 0..1

ImageLike = str | Path | bytes | BinaryIO | Image.Image | np.ndarray | torch.Tensor


def load_image(image: ImageLike) -> np.ndarray:
    """Load an image as RGB uint8 (H, W, 3), with EXIF orientation applied; grey becomes RGB, alpha is dropped.

    Args:
        image: a path, an http(s) URL, the bytes of an encoded image or a binary file object, a PIL image, a uint8
            array (H, W, 3), or a tensor (3, H, W) of uint8 or of floats in 0..1. Arrays and tensors may also have 1
            or 4 channels (the last is alpha), and arrays may be (H, W).

    Raises:
        FileNotFoundError: if there is no such file.
        ImageError: if it is not an image, has no or too many pixels, or a URL cannot be fetched (within 30 seconds and
            200 MB); the size of an encoded image is checked before its pixels are allocated.
    """
    if isinstance(image, str) and is_url(image):
        return decode_rgb(fetch(image), image)
    if isinstance(image, (str, Path)):
        return read_rgb(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_rgb(bytes(image))
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, torch.Tensor):
        return _from_array(_tensor_to_array(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "read"):
        return decode_rgb(read_stream(image))
    raise ImageError(
        "an image must be a path, URL, bytes, file object, PIL image, RGB uint8 array or tensor, "
        f"got {type(image).__name__}"
    )


def as_list(images: ImageLike | Sequence[ImageLike] | Iterator[ImageLike]) -> tuple[list[ImageLike], bool]:
    """The images as a list, and whether it was a single one. Lists, tuples, generators, (B, 3, H, W) tensors and
    (B, H, W, 3) arrays count as several.
    """
    several = isinstance(images, (list, tuple)) or (isinstance(images, Iterator) and not hasattr(images, "read"))
    several = several or (isinstance(images, (np.ndarray, torch.Tensor)) and images.ndim == 4)
    return (list(cast(Iterable[ImageLike], images)) if several else [cast(ImageLike, images)]), not several


def decode_rgb(data: bytes, what: str = "the image", max_pixels: int = MAX_PIXELS, upright: bool = True) -> np.ndarray:
    """Decode an encoded image to RGB uint8 (H, W, 3).

    Args:
        upright: apply the EXIF orientation; else keep the image as stored (HEIC is always upright).

    Raises:
        ImageError: if the bytes are not an image, or it has more than ``max_pixels``.
    """
    _check_header(io.BytesIO(data), what, max_pixels)
    if is_heic(data[:HEADER]):
        with Image.open(io.BytesIO(data)) as image:
            return _from_pil(image)
    try:
        flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # a side beyond OpenCV's own limit, for one
        array = None
    if array is None:
        raise ImageError(f"{what} is damaged, or in a form that cannot be read")
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image file as RGB uint8 (H, W, 3).

    Raises:
        FileNotFoundError, ImageError: if it is missing, no image, or one of too many pixels.
    """
    check_file(path)
    return decode_rgb(Path(path).read_bytes(), str(path))


def read_as_annotated(path: str | Path, size: tuple[object, object]) -> np.ndarray:
    """Read an image file in the frame of its annotations, as RGB uint8 (H, W, 3).

    This is the image as stored, as in COCO, unless the annotations give an (H, W) ``size`` that it only has after
    applying its EXIF orientation.

    Raises:
        FileNotFoundError, ImageError: as :func:`read_rgb`.
    """
    check_file(path)
    data = Path(path).read_bytes()
    if is_heic(data[:HEADER]):
        return decode_rgb(data, str(path))
    with Image.open(io.BytesIO(data)) as image:
        lying, stored = image.getexif().get(ORIENTATION, 1) >= LYING, (image.height, image.width)
    return decode_rgb(data, str(path), upright=lying and stored != size == stored[::-1])


def check_file(path: str | Path) -> None:
    """Check an image file by its header only.

    Raises:
        FileNotFoundError, ImageError: if it is missing, no image, or one of too many pixels.
    """
    path = Path(path)
    if not os.path.isfile(path):  # Path's own raises where a name is too long
        raise FileNotFoundError(f"no image {path}" + (" (it is a folder)" if os.path.isdir(path) else ""))
    _check_header(path, str(path))


def save_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an RGB (H, W, 3) or index (H, W) uint8 image in the format of its suffix, atomically.

    Args:
        quality: of a JPEG, 1..100.

    Raises:
        ImageError: for another suffix.
    """
    path = Path(path)
    image = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    try:
        done, data = cv2.imencode(path.suffix, image, flags)
    except cv2.error:
        raise ImageError(
            f"{path}: no image is written as {path.suffix or 'a file without a suffix'}: use .png or .jpg"
        ) from None
    if not done:
        raise ImageError(f"{path}: an image of {image.shape[0]}x{image.shape[1]} cannot be written")
    with atomic_write(path, size=data.nbytes) as temporary:
        temporary.write_bytes(data.tobytes())


def encode_png(image: np.ndarray) -> bytes:
    """Encode an RGB (H, W, 3) or grey (H, W) uint8 image as PNG bytes."""
    return cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _check_header(source: Path | io.BytesIO, what: str, max_pixels: int = MAX_PIXELS) -> None:
    if is_heic(_first_bytes(source)):
        register_heic(what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as header:
                width, height = header.size
                if header.format == "PNG":
                    header.verify()  # checksums only; libpng would print what it finds wrong
    except Image.DecompressionBombError:
        raise ImageError(f"{what} has too many pixels (at most {max_pixels // 10**6} million)") from None
    except Exception as e:  # a damaged header can make Pillow's readers fail in any way
        reason = "" if isinstance(e, UnidentifiedImageError) else f" ({str(e)[:60] or type(e).__name__})"
        raise ImageError(f"{what} is not an image that can be read{reason}") from None
    _check_size(height, width, what, max_pixels)


def _first_bytes(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[:HEADER]
    try:
        with source.open("rb") as file:
            return file.read(HEADER)
    except OSError as e:
        raise ImageError(f"{source} cannot be opened ({e.strerror})") from None


def _check_size(height: int, width: int, what: str = "the image", max_pixels: int = MAX_PIXELS) -> None:
    if not height or not width:
        raise ImageError(f"{what} has no pixels ({height}x{width})")
    if height * width > max_pixels:
        raise ImageError(f"{what} is {height}x{width}, too many pixels (at most {max_pixels // 10**6} million)")


def _from_pil(image: Image.Image) -> np.ndarray:
    _check_size(image.height, image.width)
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise ValueError("floating point, of no known range; give RGB")
        if image.mode.startswith("I"):  # 16 bits a pixel
            return _from_array((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
        return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as e:
        raise ImageError(f"the image cannot be read ({str(e)[:60]})") from None


def _tensor_to_array(image: torch.Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] not in (1, 3, 4):
        raise ImageError(f"an image tensor must be (3, H, W), got {tuple(image.shape)}; give several as a list")
    if image.is_meta or image.layout != torch.strided:
        raise ImageError(f"an image tensor must hold its values, dense; got {image.layout} on {image.device}")
    image = image.detach().cpu()
    if image.is_floating_point():
        low, high = (image.min().item(), image.max().item()) if image.numel() else (0.0, 0.0)
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):
            raise ImageError(f"a float image tensor must lie in 0..1, got {low:.3g}..{high:.3g}")
        image = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).numpy()


def _from_array(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        raise ImageError(f"an image must hold uint8 values 0..255 (a float tensor: 0..1), got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ImageError(f"an image array must be (H, W, 3), got {image.shape}")
    _check_size(*image.shape[:2])
    image = image[:, :, :3] if image.shape[2] > 1 else np.repeat(image, 3, 2)
    return np.ascontiguousarray(image)


def pad_to_multiple(images: np.ndarray, multiple: int) -> np.ndarray:
    """Pad (..., H, W, 3) images by reflection at the bottom and right until their sides are multiples."""
    h, w = images.shape[-3:-1]
    if not h % multiple and not w % multiple:
        return images
    return images[..., mirrored(h, multiple)[:, None], mirrored(w, multiple), :]


def mirrored(length: int, multiple: int) -> np.ndarray:
    """Indices 0 .. length - 1, then back and forth until they are a multiple in number."""
    return np.pad(np.arange(length), (0, -length % multiple), mode="symmetric")


def normalise(
    images: torch.Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """(B, H, W, 3) uint8 to normalised (B, 3, H, W) float, by default with ImageNet's mean and std."""
    x = images.permute(0, 3, 1, 2).float()
    centre = torch.tensor(mean, device=x.device).view(3, 1, 1) * 255
    scale = torch.tensor(std, device=x.device).view(3, 1, 1) * 255
    return (x - centre) / scale


def as_tensor(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, H, W, 3) uint8 images as (B, 3, H, W), channels last in memory, for networks that normalise them."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)


def to_input(images: np.ndarray, device: torch.device, **statistics: Any) -> torch.Tensor:
    """(B, H, W, 3) RGB uint8 to a normalised (B, 3, H, W) network input, channels last in memory.

    ``mean=`` and ``std=`` as in :func:`normalise`.
    """
    if device.type == "cpu":  # looking each value up takes a third of the arithmetic's time
        table = normalise(torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1).expand(-1, -1, -1, 3), **statistics)
        values = cv2.LUT(images.reshape(-1, *images.shape[2:]), table[0].permute(2, 1, 0).contiguous().numpy())
        return torch.from_numpy(values.reshape(images.shape)).permute(0, 3, 1, 2)
    x = normalise(torch.from_numpy(images).to(device), **statistics)
    return x.contiguous(memory_format=torch.channels_last)
