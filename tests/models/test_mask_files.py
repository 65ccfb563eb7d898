"""The authors' mask files become the published architectures; nothing in them is executed or believed."""

import io
import os
import pickle
import tracemalloc

import numpy as np
import pytest

from scalenet import cli
from scalenet.archs.arch import Arch, ArchError
from scalenet.models.mask_files import _load, read_masks
from scalenet.models.pretrained import ARCHS

PUBLISHED = [f"scalenet_{kind}{i}" for kind in "ps" for i in (1, 2, 3, 4)]


def masks_of(arch: Arch) -> np.ndarray:
    """The authors' mask form, self bits and unused steps filled as theirs are."""
    masks = []
    for _, _, module in arch.modules():
        n, steps = len(module.depths), 5
        bits = np.empty((n, steps), dtype=object)
        for j in range(n):
            for d in range(steps):
                on = {*module.sources(j, d), j} if d < module.depths[j] else set()
                bits[j, d] = [int(k in on) for k in range(n)]
        masks.append({"d": np.array(module.depths).reshape(-1, 1), "f": bits})
    return np.array(masks, dtype=object)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def write_mask(path, masks: np.ndarray) -> None:
    """``np.save`` as numpy 1.19 wrote it."""
    with open(path, "wb") as f:
        header = {"descr": "|O", "fortran_order": False, "shape": masks.shape}
        np.lib.format.write_array_header_1_0(f, header)
        f.write(pickle.dumps(masks, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_masks_become_the_published_architectures(name, tmp_path, capsys):
    arch = Arch.load(ARCHS / f"{name}.json")
    write_mask(tmp_path / "mask.npy", masks_of(arch))
    out = tmp_path / "out.json"
    argv = ["convert", str(tmp_path / "mask.npy"), "--task", arch.task, "--width", str(arch.width), "-o", str(out)]
    assert cli.main(argv) == 0
    assert Arch.load(out).digest == arch.digest


@pytest.mark.parametrize(
    "masks", [np.array([Hostile()]), np.array([{"d": [[1]]}]), np.array([{"d": [[10**9], [1]], "f": [[], []]}])]
)
def test_hostile_masks(masks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", masks.astype(object), allow_pickle=True)
    assert cli.main(["convert", "m.npy", "--task", "pose", "--width", "32", "-o", "o.json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not os.path.exists("pwned") and not os.path.exists("o.json")


def test_a_mask_file_of_anything_else(tmp_path):
    np.save(tmp_path / "numbers.npy", np.arange(5))
    with pytest.raises(ArchError, match="not a mask per module"):
        read_masks(tmp_path / "numbers.npy")
    (tmp_path / "text.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(ArchError, match="not a mask file"):
        read_masks(tmp_path / "text.npy")


def npy(pickled: bytes) -> bytes:
    """A mask file with that pickle in it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (8,)})
    return file.getvalue() + pickled


def array(shape: bytes, data: bytes, code: bytes = b"O8") -> bytes:
    """An array as numpy pickles it, with a shape and data of one's own (pickle instructions that push them)."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    dtype = b"cnumpy\ndtype\n(X" + len(code).to_bytes(4, "little") + code + b"K\x00K\x01tR"
    dtype += b"(K\x03C\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    return b"\x80\x03" + made + b"(K\x01(" + shape + b"t" + dtype + b"\x89" + data + b"tb."


BOMBS = {
    "a shape of 2**40": array(b"\x8a\x06" + (1 << 40).to_bytes(6, "little"), b"]"),
    "a number array of 2**40": array(b"\x8a\x06" + (1 << 40).to_bytes(6, "little"), b"C\x00", b"i8"),
    "a memo of 2**32": b"\x80\x03]r\xf0\xff\xff\xff.",
    "a byte array of 2**36": b"\x80\x05\x96" + (1 << 36).to_bytes(8, "little") + b".",
    "an array called by itself": b"\x80\x03cnumpy\nndarray\n(\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"tR.",
    "a list in itself": b"\x80\x03]q\x00h\x00a.",
    "twos of twos": b"\x80\x03]q\x00" + b"".join(b"](h%ch%ce" % (i, i) + b"q%c" % (i + 1) for i in range(60)) + b".",
}  # fmt: skip


def test_the_bombs_are_built_as_numpy_builds_arrays():
    small = array(b"K\x02", b"](K\x05K\x06e")
    assert list(_load(small)) == [5, 6] == list(pickle.loads(small))


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_at_once(case, tmp_path, capsys):
    (tmp_path / "m.npy").write_bytes(npy(BOMBS[case]))
    out = tmp_path / "o.json"
    tracemalloc.start()
    try:
        assert cli.main(["convert", str(tmp_path / "m.npy"), "--task", "pose", "--width", "32", "-o", str(out)]) == 2
        assert tracemalloc.get_traced_memory()[1] < 32 << 20, "bytes, at the most at any time"
    finally:
        tracemalloc.stop()
    assert capsys.readouterr().err.count("\n") == 1 and not out.exists()
