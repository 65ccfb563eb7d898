"""README and docs: every code block is run or at least parsed, tables are the code's, links lead somewhere, the site
builds without a network connection."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import scalenet

from .docs_commands import check, parts
from .docs_pages import DATA, PAGES, ROOT, RUN, StaleError, blocks, compare, make_folder, run_page  # fmt: skip
from .hub_server import TOKEN, Hub

CLIENT = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": TOKEN}
WITH_BLOCKS = [page for page in sorted(PAGES) if any(b.language in RUN for b in blocks(page))]


ONLINE = [page for page in WITH_BLOCKS if any("push_to_hub" in b.text for b in blocks(page) if b.language == "python")]


def python_blocks(page: str) -> int:
    """How many blocks must run at least."""
    return len([b for b in blocks(page) if b.language == "python" and not b.reason])


def run_online(page: str, folder: Path) -> int:
    """A page in a process of its own, whose client was told of a Hub when it was imported."""
    os.chdir(folder)
    return run_page(page, online=True)


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page not in ONLINE])
def test_every_block_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(make_folder(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # times of fronts
    assert run_page(page) > 0 or python_blocks(page) == 0


def test_every_block_of_the_pages_that_speak_with_the_hub(tmp_path, monkeypatch):
    with Hub() as hub:
        for key, value in {
            **CLIENT,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(key, value)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            for number, page in enumerate(ONLINE):
                folder = tmp_path / str(number)
                folder.mkdir()
                assert pool.submit(run_online, page, make_folder(folder)).result(300) > python_blocks(page)
        pushed = [path for method, path, _ in hub.requests if "/commit/" in path and method == "POST"]
        assert len(pushed) == len(ONLINE) == 2 and hub.downloads("model.safetensors")


def test_all_blocks_have_a_language_and_few_are_not_run():
    found = [b for page in PAGES for b in blocks(page)]
    assert {b.language for b in found} <= {*RUN, *DATA}, [b.where for b in found if b.language not in (*RUN, *DATA)]
    assert sum(PAGES[p].read_text(encoding="utf-8").count("```") for p in PAGES) % 2 == 0
    reasons = {b.reason for b in found if b.reason}
    assert reasons == {
        "fetches the repository from GitHub", "the app must be running: test_demo.py does this",
        "needs the authors' file", "export takes half a minute, test_export.py does this",
        "reads a folder of the reader's own",
        "scoring takes minutes, tests/search/test_front.py does this on a small supernet",
    }  # fmt: skip
    assert len([b for b in found if b.language == "python"]) > 25


@pytest.mark.parametrize(
    "language, text, words",
    [
        ("python", "import scalenet\nscalenet.Segmentor", "no attribute 'Segmentor'"),
        (
            "python",
            "import scalenet\nscalenet.create_model('scalenet_s0', pretrained=True, num_clases=3)",
            "num_clases",
        ),
        ("bash", "scalenet segmnt street.jpg", "invalid choice"),
        ("bash", "scalenet segment street.jpg --windows 3x3", "--windows"),
        ("bash", "scalenet segment no.jpg", "no image no.jpg"),
        ("bash", "scalenet info scalenet_s9", "no network scalenet_s9"),
        ("console", "$ scalenet list scalenet_s0\nscalenet_s0 segmentation 360x480 1,848,044 2.896 …", "should print"),
        ("bash", "python -m training run s0_teecher", "did you mean s0_teacher"),
        ("bash", "torchrun --nproc-per-node 2 -m training run s0_teacher minuts=3", "did you mean minutes"),
        ("bash", "python -m search run s0 evaluation=3", "did you mean evaluations"),
        ("bash", "python -m benchmarks.nothing", "no module"),
        ("bash", "HF_OFFLINE_HUB=1 scalenet list", "HF_OFFLINE_HUB"),
        ("bash", "pip install 'scalenet[vidoe]'", "no extra vidoe"),
        ("bash", "make everything", "Makefile has"),
        ("bash", "curl https://example.org", "no check"),
    ],
)
def test_a_stale_block_is_found(language, text, words, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{language}\n{text}\n```\n")
    monkeypatch.setitem(PAGES, "page.md", page)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((StaleError, SyntaxError)) as error:
        run_page("page.md")
    assert words in str(error.value) and "page.md:3" in str(error.value)


def test_outputs_agree_in_words_and_nearly_in_numbers():
    compare("here", "38.0%  tree\n…\nsaved out/a.png", "x\n  37.8% tree\nmore\nsaved out/a.png\n")
    for expected in ("31.0% tree", "37.8% trees", "saved out/b.png"):
        with pytest.raises(StaleError):
            compare("here", expected, "37.8% tree\nsaved out/a.png")


def test_commands_are_read_as_a_shell_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.jpg"):
        Path(name).touch()
    line = "HF_HUB_OFFLINE=1 scalenet segment *.jpg  # all\n"
    assert list(parts(line)) == [["scalenet", "segment", "a.jpg", "b.jpg"]]
    assert list(parts("cd x && make setup")) == [["cd", "x"], ["make", "setup"]]
    assert check(["scalenet", "segment", "a.jpg", "-m", "scalenet_s0"], online=False) is not None
    assert check(["scalenet", "info", "hf-hub:user/name"], online=False) is None


def test_what_is_made_from_the_code_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, text in module.generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: python docs/generate.py"
    with pytest.raises(ValueError, match="0 times"):
        module.fill("no marker", "scalenet list --markdown", "| |")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_to_files_and_headings(page):
    path = PAGES[page]
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.is_file(), f"{page} links to {link}"
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M) if anchor else []
        slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
        assert not anchor or anchor in slugs, f"{page} links to {link}"


def test_readme_is_short_and_shows_a_small_image():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    images = [ROOT / p for p in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)]
    assert images and all(p.stat().st_size <= 150_000 for p in (ROOT / "docs" / "images").iterdir())


def test_version_and_paper_are_the_same_everywhere():
    changelog, citation = ((ROOT / n).read_text(encoding="utf-8") for n in ("CHANGELOG.md", "CITATION.cff"))
    assert re.search(r"^## \[(.+?)\]", changelog, re.M)[1] == scalenet.__version__
    assert f"\nversion: {scalenet.__version__}\n" in citation
    title = "ScaleNAS: Multi-Path One-Shot NAS for Scale-Aware High-Resolution Representation"
    assert title in citation and title in (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert all((ROOT / name).exists() for name in included["include"])


def test_the_site_builds_and_asks_nobody_for_anything(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install 'scalenet[dev]'")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {p.relative_to(site).as_posix(): p.read_text(encoding="utf-8") for p in site.rglob("*.html")}
    own = {PAGES[p].relative_to(ROOT / "docs").with_suffix(".html").as_posix() for p in PAGES if p.startswith("docs/")}
    assert len(own) > 5 and own <= set(pages)
    for name, html in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\"> ]+)", html)
        loaded += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preconnect|icon)[^>]+href=\"?(https?:[^\"> ]+)", html)
        assert not loaded, f"{name} loads {loaded}"
        assert ":class:" not in html and ":func:" not in html, name
    assert "scalenet.models.factory.create_model" in pages["api/models.html"] and "Raises" in pages["api/models.html"]
