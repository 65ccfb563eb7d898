"""Encoded images from http(s) URLs and file objects, limited in size and time; HEIC."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

MAX_BYTES = 200_000_000  # of an encoded image
SECONDS = 30.0  # for all of a download
WAIT = 10.0  # seconds for one answer of the network
CHUNK = 1 << 16
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
HEADER = 12  # bytes that tell HEIC


class ImageError(ValueError):
    """An image that cannot be read or is too large."""


def is_url(image: object) -> bool:
    """Whether it is a URL: a string that starts with http:// or https://."""
    return isinstance(image, str) and image.lower().startswith(("http://", "https://"))


def fetch(url: str, max_bytes: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """The content of an http(s) URL; other schemes are not followed, in redirects either.

    Raises:
        ImageError: naming the URL, if it cannot be fetched, is larger than ``max_bytes`` or takes longer than
            ``seconds``.
    """
    end = time.monotonic() + seconds
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "scalenet"})
        with _opener().open(request, timeout=min(WAIT, seconds)) as answer:
            declared = answer.headers.get("Content-Length") or "0"
            parts, size = [], int(declared) if declared.isdecimal() else 0
            _check_length(size, url, max_bytes)
            size = 0
            while part := answer.read1(CHUNK):
                parts.append(part)
                size += len(part)
                _check_length(size, url, max_bytes)
                if time.monotonic() > end:
                    raise TimeoutError
    except TimeoutError:
        raise ImageError(f"{url} took longer than {seconds:g} seconds") from None
    except ImageError:
        raise
    except (OSError, HTTPException, ValueError) as e:  # ValueError: an address of no form
        reason = e.reason if isinstance(e, urllib.error.URLError) else e
        if isinstance(reason, TimeoutError):
            raise ImageError(f"{url} took longer than {seconds:g} seconds") from None
        code = f"HTTP {e.code} " if isinstance(e, urllib.error.HTTPError) else ""
        raise ImageError(f"{url} cannot be had ({code}{str(reason)[:80] or type(e).__name__})") from None
    return b"".join(parts)


def _opener() -> urllib.request.OpenerDirector:
    """Follows http and https alone; urllib's own would read ftp: and file: too."""
    opener = urllib.request.OpenerDirector()
    for kind in ("ProxyHandler", "HTTPHandler", "HTTPSHandler", "HTTPDefaultErrorHandler", "HTTPRedirectHandler",
                 "HTTPErrorProcessor", "UnknownHandler"):  # fmt: skip
        opener.add_handler(getattr(urllib.request, kind)())
    return opener


def read_stream(file: Any, max_bytes: int = MAX_BYTES) -> bytes:
    """The remaining bytes of a binary file object.

    Raises:
        ImageError: if it is in text mode, or has more than ``max_bytes``.
    """
    data = file.read(max_bytes + 1)
    if not isinstance(data, (bytes, bytearray)):
        raise ImageError(f"a file object must be open for bytes (mode 'rb'), it gives {type(data).__name__}")
    _check_length(len(data), "the file object", max_bytes)
    return bytes(data)


def _check_length(size: int, what: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError(f"{what} is larger than {max_bytes // 10**6} MB")


def is_heic(header: bytes) -> bool:
    """Whether the first 12 bytes of a file are HEIC's, the form of photographs of many phones."""
    return header[4:8] == b"ftyp" and header[8:HEADER] in HEIC_BRANDS


def register_heic(what: str) -> None:
    """Let Pillow read HEIC, by pillow-heif.

    Raises:
        ImageError: if that is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(f"{what} is HEIC, which needs pillow-heif: pip install pillow-heif") from None
    register_heif_opener()
