"""A real browser and the app with its shipped networks, for the tests that drive one."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..small_app import running

SHOTS = Path(__file__).parents[2] / "out" / "screenshots"
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
WAIT = 120_000  # milliseconds, for machines that do other work too


def lacking(reason: str) -> None:
    """Skip, or fail where a browser must be."""
    if os.environ.get("SCALENET_CI") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def shipped_app(tmp_path_factory):
    with running(None, tmp_path_factory.mktemp("gradio")) as url:
        yield url


@pytest.fixture
def look():
    """A window's size and colours."""
    return "desktop-light"


@pytest.fixture
def page(look, browser, shipped_app):
    """The app in a new window. It may ask its own server alone, and its scripts must not fail."""
    size, theme = look.split("-")
    page = browser.new_page(viewport=SIZES[size])
    page.set_default_timeout(WAIT)
    asked, failed = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: failed.append(str(e)))
    page.goto(f"{shipped_app}?__theme={theme}")
    page.name = look
    yield page
    page.close()
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}
    assert not failed


def open_tab(page, name):
    """Go to a tab; returns its panel."""
    page.get_by_role("tab", name=name).click()
    return panel_of(page)


def panel_of(page):
    """The panel of the tab that is open."""
    return page.get_by_role("tabpanel").filter(visible=True)


def give(page, path):
    """Upload an image."""
    page.locator(".upload input[type=file]").first.set_input_files(path)


def shoot(page, name):
    """A screenshot, and no scrolling sideways."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{page.name}_{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
