"""Who may call whom: scalenet <- training <- search; and what ``import scalenet`` and the wheel hold."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {  # room: what it may not import
    "scalenet": {"training", "search", "benchmarks", "demo", "tests"},
    "training": {"search", "benchmarks", "demo", "tests"},
    "search": {"benchmarks", "demo", "tests"},
    "benchmarks": {"training", "search", "tests"},
    "demo": {"training", "search", "tests"},
}
LATER = {"pycocotools", "gradio", "matplotlib", "onnx", "onnxruntime", "onnxscript", "openvino", "sklearn", "scipy"}


def imported(path: Path) -> set[str]:
    """Top-level names of every absolute import in a file, those inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_go_one_way(room):
    for path in (ROOT / room).rglob("*.py"):
        assert not imported(path) & FORBIDDEN[room], path


def test_hubconf_stands_on_scalenet_alone():
    path = ROOT / "hubconf.py"
    assert not path.is_file() or not imported(path) & {"training", "search", "benchmarks", "demo", "tests"}


def test_data_files_name_no_upper_room():
    files = [p for p in (ROOT / "scalenet").rglob("*") if p.suffix in (".json", ".yaml", ".yml", ".toml", ".txt")]
    assert len(files) >= 8
    for path in files:
        text = path.read_text()
        assert not [word for word in ("training.", "search.", "training/", "search/") if word in text], path


def test_heavy_packages_are_imported_where_they_are_used():
    for path in (ROOT / "scalenet").rglob("*.py"):
        top = {
            alias.name.split(".")[0] if isinstance(node, ast.Import) else node.module.split(".")[0]
            for node in ast.parse(path.read_text()).body
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0)
            for alias in node.names
        }
        assert not top & (LATER - {"scipy"}), path


def test_import_is_silent_and_light():
    code = (
        "import sys, threading, timm; before = threading.active_count(); had = set(sys.modules); import scalenet; "
        f"new = set(sys.modules) - had; assert not new & {LATER!r}, new & {LATER!r}; "
        "assert not [n for n in new if n.startswith(('scalenet.commands', 'scalenet.evaluate', 'torch.export'))], new; "
        "assert threading.active_count() == before; assert 'Segmenter' in dir(scalenet)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_wheel_holds_scalenet_and_its_data(tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="pip install hatchling").WheelBuilder(str(ROOT))
    (path,) = wheel.build(directory=str(tmp_path))
    names = zipfile.ZipFile(path).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"scalenet"}
    packed = {name for name in names if name.startswith("scalenet/")}
    shipped = {
        str(p.relative_to(ROOT)) for p in (ROOT / "scalenet").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert packed == shipped
    assert "scalenet/archs/scalenet_s1.json" in packed and "scalenet/py.typed" in packed
