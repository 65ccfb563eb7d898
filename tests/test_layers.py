"""Who may call whom: scalenet <- training <- search; and what ``import scalenet`` and the wheel hold."""

import ast
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from . import house
from .house import ROOT, SOURCES

FORBIDDEN = {  # room: what it may not import
    "scalenet": {"training", "search", "benchmarks", "demo", "tests"},
    "training": {"search", "benchmarks", "demo", "tests"},
    "search": {"benchmarks", "demo", "tests"},
    "benchmarks": {"training", "search", "tests"},
    "demo": {"training", "search", "tests"},
}
LATER = {
    "pycocotools", "gradio", "matplotlib", "onnx", "onnxruntime", "onnxscript", "openvino", "sklearn", "scipy", "ray",
    "pyarrow",
}  # fmt: skip
MOST_ARROWS = 106  # between rooms
CIRCULAR = re.compile(r"scalenet|scalenet\.engines\..*|scalenet\.models\.factory|scalenet\.bench")
# one meaning in several modules: what every command has, what every kind of evaluation and every table of recipes has
PROTOCOLS = {"add_arguments", "run", "evaluate", "estimate", "get_recipe"}


def text_of(node: ast.AST) -> str | None:
    """A string as it is written; of an f-string what stands between its fields, which count as names."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def imports_of(tree: ast.AST) -> set[str]:
    """Top-level names of every absolute import, those inside functions and inside strings of code too."""
    names = set()
    for node in ast.walk(tree):
        text = text_of(node)
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
        elif text is not None and "import " in text:
            try:
                names |= imports_of(ast.parse(textwrap.dedent(text)))
            except SyntaxError:  # prose
                continue
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names.add((text_of(node.args[0]) or "").split(".")[0])  # of a name within the package nothing is left
    return names


def imported(path: Path) -> set[str]:
    """:func:`imports_of` a file."""
    return imports_of(ast.parse(path.read_text()))


def test_imports_are_read_inside_functions_and_strings():
    code = (
        "import a.b\nfrom . import near\ndef f(x):\n    from c import d\n    run(f'import e; print({x})')\n"
        "    run('\\n    from g.h import i\\n    i()')\n    importlib.import_module('j.k')\n"
        "    'we import what we use'\n"
    )
    assert imports_of(ast.parse(code)) == {"a", "c", "e", "g", "j"}


def test_files_and_functions_are_short():
    assert (house.long_files(), house.long_functions()) == ([], []) and len(SOURCES) > 100


def test_nothing_is_written_twice():
    assert house.duplicates([*SOURCES, *(ROOT / "tests").rglob("*.py")]) == []


def test_what_is_written_twice_is_found(tmp_path):
    body = "".join(f"    {name} = table[{i}] + {name}\n" for i, name in enumerate("abcdef"))
    one, two, short = (tmp_path / f"{name}.py" for name in ("one", "two", "short"))
    one.write_text(f'def f(table):\n    """Says."""\n{body}')
    two.write_text("import os\n\n\ndef g(rows):\n" + body.replace("table", "rows").replace("+ ", "+ (2 * 3) - ", 0))
    short.write_text("def h(table):\n" + body.partition("    f =")[0] + "    return table\n")
    assert house.duplicates([one, two, short]) == [f"{one}:3 ~ {two}:5 (6 lines)"]
    fields = "".join(f"    {name}: int = {i}\n" for i, name in enumerate("abcdefgh"))
    one.write_text(f"class A:\n{fields}")
    two.write_text(f"class B:\n{fields}")
    assert house.duplicates([one, two]) == [], "fields are no logic"


def test_modules_do_not_import_each_other():
    """Not even inside functions; the engines' way back to the zoo is the one that is left."""
    circles = house.circles(set(house.arrows(between=False)))
    assert [name for circle in circles for name in circle if not CIRCULAR.fullmatch(name)] == []
    assert len(house.arrows()) <= MOST_ARROWS


def test_circles_are_found():
    assert house.circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "f")}) == [["a", "b", "c"]]


def test_a_public_name_has_one_meaning():
    where: dict[str, list[str]] = {}
    for path in SOURCES:
        if path.name == "__main__.py" or path.relative_to(ROOT).parts[0] not in ("scalenet", "training", "search"):
            continue  # a command is run, nobody imports its names
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
                where.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    twice = {name: paths for name, paths in where.items() if len(paths) > 1}
    assert not {name: paths for name, paths in twice.items() if name not in PROTOCOLS}
    assert set(twice) == PROTOCOLS  # none that stands here for nothing


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
