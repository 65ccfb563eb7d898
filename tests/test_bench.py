"""Times of several engines in one run, and the table made of them."""

import pytest

from scalenet.bench import bench_engines, bench_table, parse_pairs
from scalenet.cli import main

from .small_networks import small_network, write


def test_engines_are_timed_in_one_run_and_those_that_cannot_are_told():
    told = []
    pairs = [("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "bfloat16")]
    rows = bench_engines(small_network(), pairs, (64, 64), "cpu", 0.0, 2, told.append)
    assert [(r["engine"], r["dtype"]) for r in rows] == pairs[:2] and "float32" in told[0]
    assert all(r["batch_size"] == 2 and r["runs"] >= 3 and r["ms_min"] <= r["ms"] for r in rows)
    first = rows[0]
    assert first["gmacs_per_s"] == pytest.approx(2 * first["macs"] / first["ms_min"] / 1e6, rel=0.01, abs=0.01)
    assert 0 < first["matmul_share"] < 3


def test_the_table_compares_with_the_first_row_of_a_network():
    row = {
        "size": [64, 80], "batch_size": 1, "ms": 5.0, "ms_min": 4.0, "gmacs_per_s": 1.0, "matmul_share": 0.5,
        "dtype": "float32",
    }  # fmt: skip
    rows = [
        {**row, "name": "a", "engine": "torch"}, {**row, "name": "a", "engine": "openvino", "ms_min": 1.0},
        {**row, "name": "b", "engine": "torch"},
    ]  # fmt: skip
    lines = bench_table(rows).splitlines()
    assert [line.split("|")[7].strip() for line in lines[2:]] == ["1.00", "0.25", "1.00"]


def test_lists_of_engines():
    assert parse_pairs("torch,openvino:bfloat16") == [("torch", "float32"), ("openvino", "bfloat16")]
    assert len(parse_pairs("all")) > 3
    for wrong in ("tensorrt", "torch:int4", "auto", ""):
        with pytest.raises(ValueError, match="--engines: all, or torch"):
            parse_pairs(wrong)


def test_the_command_writes_a_table(tmp_path, capsys):
    file = write(small_network(), tmp_path / "net.safetensors")
    given = ["bench", str(file), "--size", "64x64", "--seconds", "0", "--device", "cpu"]
    assert main([*given, "--engines", "torch,torch:bfloat16", "--table", str(tmp_path / "out" / "t.md")]) == 0
    printed, written = capsys.readouterr().out, (tmp_path / "out" / "t.md").read_text()
    assert "torch bfloat16" in printed and "torch bfloat16" in written and " thread" in written.splitlines()[0]
    assert main([*given, "--engines", "coreml"]) == 2
    assert "not coreml:float32" in capsys.readouterr().err
