"""The app in a real browser: real photographs in every tab, wrong files, a telephone's width, nothing from outside.

Screenshots to look at are left in ``out/screenshots``.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scalenet.app.examples import write_clips
from scalenet.commands.pose import sample_portrait
from scalenet.commands.segment import sample_photograph

from ..small_app import running, tiny_models

SHOTS = Path(__file__).parents[2] / "out" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WAIT = 120_000  # milliseconds, for machines that do other work too
TABS = {"Segmentation": sample_photograph, "Pose": sample_portrait, "Everyone": sample_portrait}

pytestmark = pytest.mark.browser


def lacking(reason: str) -> None:
    """Skip, or fail where a browser must be."""
    if os.environ.get("SCALENET_CI") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        lacking("no chromium: apt-get install --no-install-recommends chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("no playwright: pip install playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    models = tiny_models(tmp_path_factory.mktemp("weights"))
    with running(models, tmp_path_factory.mktemp("gradio")) as url:
        yield url


@pytest.fixture(params=["desktop", "phone"])
def page(request, browser, app):
    """The app in a new window. It may ask its own server alone, and its scripts must not fail."""
    page = browser.new_page(viewport=DESKTOP if request.param == "desktop" else PHONE)
    page.set_default_timeout(WAIT)
    asked, failed = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: failed.append(str(e)))
    page.goto(app)
    page.name = request.param
    yield page
    page.close()
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}
    assert not failed


def open_tab(page, name):
    """Go to a tab; returns its panel."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def shoot(page, name):
    """A screenshot, and no scrolling sideways."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{page.name}_{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("tab", TABS)
def test_a_photograph_is_answered_as_soon_as_it_is_there(page, tab):
    panel = open_tab(page, tab)
    shoot(page, f"{tab.lower()}_empty")
    assert not panel.get_by_role("button", name="JSON").is_visible()
    panel.locator("input[type=file]").first.set_input_files(TABS[tab]())
    panel.locator(".result img").wait_for()
    facts = panel.locator(".facts p").inner_text()
    assert "parameters" in facts and "GMACs" in facts and "pixels in" in facts
    rows = panel.locator("ul.shares li")
    if tab == "Segmentation":
        assert "scalenet_s0" in facts
        assert {"building", "sky", "tree"} <= {text.split("\n")[0] for text in rows.all_inner_texts()}
    else:
        assert rows.count() >= 1 and "person 1" in rows.first.inner_text()
    width = panel.locator(".result img").evaluate("e => e.decode().then(() => e.naturalWidth)")
    assert width == (640 if tab == "Segmentation" else 512)
    with page.expect_download() as download:
        panel.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == f"{TABS[tab]().stem}.json"
    shoot(page, tab.lower())


def test_the_example_and_the_button(page):
    panel = open_tab(page, "Segmentation")
    panel.locator(".gallery-item").first.click()
    panel.locator(".result img").wait_for()
    first = panel.locator(".result img").get_attribute("src")
    panel.get_by_text("Settings").click()
    panel.get_by_label("number input for Overlay opacity").fill("1")
    panel.get_by_role("button", name="Segment", exact=True).click()
    page.wait_for_function("old => document.querySelector('.result img')?.src !== old", arg=first)
    shoot(page, "settings")


def test_a_clip(page, tmp_path):
    panel = open_tab(page, "Video")
    shoot(page, "video_empty")
    panel.locator("input[type=file]").first.set_input_files(write_clips(tmp_path)[-1])
    panel.locator(".upload video").wait_for()
    panel.get_by_role("button", name="Process the clip").click()
    panel.locator(".result video").wait_for()
    seconds = panel.locator(".result video").evaluate(
        "e => e.readyState ? e.duration : new Promise(r => e.onloadedmetadata = () => r(e.duration))"
    )
    assert seconds == pytest.approx(2, abs=0.1), "the browser can play it"
    assert "24 frames" in panel.locator(".facts p").inner_text()
    assert panel.get_by_role("button", name="JSON lines").is_visible()
    shoot(page, "video")


@pytest.mark.parametrize("tab", [*TABS, "Video"])
def test_a_wrong_file_gives_a_message_and_no_stack_trace(page, tab, tmp_path):
    wrong = tmp_path / ("wrong.mp4" if tab == "Video" else "wrong.png")
    wrong.write_text("neither an image nor a clip")
    panel = open_tab(page, tab)
    panel.locator("input[type=file]").first.set_input_files(wrong)
    if tab == "Video":
        panel.get_by_role("button", name="Process the clip").click()
    expected = "The clip" if tab == "Video" else "This file is not an image that can be read"
    message = page.locator(".toast-body").filter(has_text=expected).first.inner_text()
    assert "Traceback" not in page.content() and "/gradio" not in message
    shoot(page, f"{tab.lower()}_wrong")


def test_the_dark_look(browser, app):
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(WAIT)
    page.name = "dark"
    page.goto(f"{app}?__theme=dark")
    panel = open_tab(page, "Segmentation")
    panel.locator("input[type=file]").first.set_input_files(sample_photograph())
    panel.locator("ul.shares li").first.wait_for()
    ink, paper = (
        panel.locator("ul.shares span").first.evaluate(
            "(e, p) => { let c; do { c = getComputedStyle(e)[p]; e = e.parentElement } "
            "while (e && c == 'rgba(0, 0, 0, 0)'); return Math.max(...c.match(/\\d+/g).slice(0, 3).map(Number)) }",
            what,
        )
        for what in ("color", "backgroundColor")
    )
    assert ink > 180 and paper < 80, "light on dark"
    shoot(page, "segmentation")
    page.close()
