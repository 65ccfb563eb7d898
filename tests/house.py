"""The house in figures: ``python -m tests.house``; :mod:`tests.test_layers` holds them."""

from __future__ import annotations

import ast
import io
import keyword
import subprocess
import sys
import time
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("scalenet", "training", "search", "benchmarks", "demo")
SOURCES = [*(path for room in (*FOLDERS, "docs") for path in (ROOT / room).rglob("*.py")), ROOT / "hubconf.py"]
LONGEST_FILE, LONGEST_FUNCTION = 300, 40  # lines, signature and docstring included
SHARED = 6  # lines of code that two places may not have in common


# -- lengths -------------------------------------------------------------------------------------------------
def long_files() -> list[Path]:
    """Files that are too long to read at one go."""
    return [path for path in SOURCES if len(path.read_text().splitlines()) > LONGEST_FILE]


def long_functions() -> list[tuple[Path, str]]:
    """Functions of more lines than fit on a screen."""
    return [
        (path, node.name)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]


# -- arrows --------------------------------------------------------------------------------------------------
def room_of(module: str) -> str:
    """The room a module is in: a folder at the top; in scalenet a folder or a module of its own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "scalenet" else parts[0]


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}


def imported_modules(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of this project that a module imports anywhere in its code, for type checks alone left out."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in run_imports(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*base, *filter(None, [node.module])])
        found |= {f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source for alias in node.names}
    return {module for module in found if module in known} - {name}


def run_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements but those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        yield from run_imports(node)


def arrows(between: bool = True) -> dict[tuple[str, str], list[str]]:
    """(room, room it imports from) -> the modules that do; with ``between=False`` the same of modules."""
    known, found = modules(), defaultdict(list)
    for name, path in known.items():
        for other in imported_modules(name, path, known):
            pair = (room_of(name), room_of(other)) if between else (name, other)
            if pair[0] != pair[1]:
                found[pair].append(name)
    return dict(found)


def circles(pairs: set[tuple[str, str]]) -> list[list[str]]:
    """Groups that reach each other along arrows."""
    onward: dict[str, set[str]] = defaultdict(set)
    for source, target in pairs:
        onward[source].add(target)

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in onward[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    reached = {name: reach(name) for name in {name for pair in pairs for name in pair}}
    groups = {frozenset(n for n in seen if name in reached[n]) for name, seen in reached.items() if name in seen}
    return sorted(sorted(group) for group in groups)


# -- what is written twice -----------------------------------------------------------------------------------
def no_logic(tree: ast.AST) -> set[int]:
    """Lines that may be alike: imports, docstrings, fields of classes, tables in upper case; of functions signatures.

    Of a function whose body is a single line, as an entry point's is, that line too.
    """
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ):
            lines |= {*range(node.lineno, node.end_lineno + 1)}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = [part.lineno for part in node.decorator_list]
            body = node.body[1:] if ast.get_docstring(node) else node.body
            one_line = len(body) == 1 and body[0].lineno == body[0].end_lineno
            lines |= {*range(min([node.lineno, *decorators]), node.body[0].lineno)}
            lines |= {body[0].lineno} if one_line else set()
        elif isinstance(node, ast.ClassDef):
            fields = (n for n in node.body if isinstance(n, (ast.AnnAssign, ast.Assign)))
            lines |= {line for n in fields for line in range(n.lineno, n.end_lineno + 1)}
    for node in getattr(tree, "body", ()):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target).isupper():
                lines |= {*range(node.lineno, node.end_lineno + 1)}
    return lines


def shapes(path: Path) -> list[tuple[int, str]]:
    """(line, its shape) of a file's lines of code: names, numbers and texts are all one; one without names is none."""
    source = path.read_text()
    skipped = no_logic(ast.parse(source))
    parts: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME:
            parts[line].append(token.string if keyword.iskeyword(token.string) else "n")
        elif token.type in (tokenize.NUMBER, tokenize.STRING):
            parts[line].append("0" if token.type == tokenize.NUMBER else "s")
        elif token.type == tokenize.OP:
            parts[line].append(token.string)
    named = {line: any(part.isidentifier() and part != "s" for part in found) for line, found in parts.items()}
    return [(line, " ".join(found)) for line, found in sorted(parts.items()) if line not in skipped and named[line]]


def duplicates(paths: list[Path]) -> list[str]:
    """Places of ``SHARED`` lines or more that have one shape, as "file:line ~ file:line (lines)"."""
    found: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    lines = {path: shapes(path) for path in paths}
    for path, shape in lines.items():
        for i in range(len(shape) - SHARED + 1):
            found[tuple(text for _, text in shape[i : i + SHARED])].append((path, i))
    pairs: dict[tuple[Path, Path, int], list[int]] = defaultdict(list)  # a run is a diagonal
    for places in found.values():
        for n, (path, i) in enumerate(places):
            for other, j in places[:n]:
                if path != other or abs(i - j) >= SHARED:
                    pairs[other, path, i - j].append(j)
    rows = []
    for (path, other, shift), starts in pairs.items():
        at, then = lines[path][min(starts)][0], lines[other][min(starts) + shift][0]
        names = (p.relative_to(ROOT) if p.is_relative_to(ROOT) else p for p in (path, other))
        one, two = names
        rows.append(f"{one}:{at} ~ {two}:{then} ({len(starts) + SHARED - 1} lines)")
    return sorted(rows)


# -- time ----------------------------------------------------------------------------------------------------
def seconds(code: str, runs: int = 5) -> float:
    """The shortest wall time of a Python process that runs ``code``."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        times.append(time.perf_counter() - started)
    return min(times)


HELP = "import sys; sys.argv = ['scalenet', '--help']; from scalenet.cli import main; main()"


def main() -> None:
    """Print the figures, and what stands behind those that should be 0."""
    between = arrows()
    rooms = {room for pair in between for room in pair}
    print(f"arrows between rooms: {len(between)}, rooms: {len(rooms)}, files: {len(SOURCES)}")
    told = {
        "rooms in circles": circles(set(between)),
        "modules in circles": circles(set(arrows(between=False))),
        f"functions over {LONGEST_FUNCTION} lines": long_functions(),
        f"files over {LONGEST_FILE} lines": long_files(),
        f"places that share {SHARED} or more lines": duplicates(SOURCES),
    }
    for what, which in told.items():
        print(f"{what}: {len(which)}", *which, sep="\n  ")
    beyond = seconds(HELP) - seconds("import timm")
    print(f"scalenet --help beyond import timm: {beyond:.2f} s (the shortest of five runs each)")


if __name__ == "__main__":
    main()
