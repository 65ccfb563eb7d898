"""The app for everyone: contrast measured on every text, axe-core's rules, in light and dark, on desk and telephone."""

import os
from pathlib import Path

import pytest

from scalenet.data.samples import sample_portrait

from .conftest import give, open_tab, panel_of, shoot

pytestmark = pytest.mark.browser
LOOKS = ["desktop-light", "desktop-dark", "phone-light", "phone-dark"]
AXE = Path(os.environ.get("AXE_CORE", Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"))
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [[r, g, b], a / 255];
  };
  const over = ([top, alpha], under) => top.map((c, i) => alpha * c + (1 - alpha) * under[i]);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.push(rgba(getComputedStyle(e).backgroundColor));
      if (layers.at(-1)[1] === 1) break;
    }
    return layers.reduceRight((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const ratio = (element, ink, opacity = 1) => {
    const under = paper(element), [rgb, alpha] = rgba(ink);
    const [a, b] = [light(over([rgb, alpha * opacity], under)), light(under)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const opacity = (e) => e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1;
  const seen = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    const range = document.createRange();
    range.selectNode(walk.currentNode);
    const { width, height } = range.getBoundingClientRect();
    const shown = e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!text || width < 2 || height < 2 || !shown || e.closest("script, style, [disabled]")) continue;
    seen.push([text.slice(0, 50), ratio(e, getComputedStyle(e).color, opacity(e))]);
  }
  for (const e of document.querySelectorAll("input, textarea")) {
    if (!e.checkVisibility() || e.disabled || ["file", "range", "radio", "checkbox"].includes(e.type)) continue;
    const part = e.value ? null : "::placeholder";
    seen.push([`field ${e.value || e.placeholder}`, ratio(e, getComputedStyle(e, part).color, opacity(e))]);
  }
  return seen;
}"""


def faults(page) -> list[str]:
    """Texts of too little contrast, and what axe-core calls serious or critical where it is installed."""
    texts = page.evaluate(CONTRAST)
    assert len(texts) > 12
    found = [f"{text}: {ratio:.2f}" for text, ratio in texts if ratio < 4.5]
    return found + (axe_faults(page, 10) if AXE.is_file() else [])


def axe_faults(page, at_least: int) -> list[str]:
    """What axe-core calls serious or critical; more than ``at_least`` of its rules must have had something to judge."""
    page.evaluate(AXE.read_text())
    report = page.evaluate("axe.run(document)")
    assert len(report["passes"]) + len(report["violations"]) > at_least
    return [
        f"{fault['id']}: {node['html'][:150]}"
        for fault in report["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.fixture(params=LOOKS)
def look(request):
    return request.param


def test_images_can_be_read_by_everyone(page):
    panel = panel_of(page)
    panel.get_by_role("button", name="Segment", exact=True).wait_for()
    assert faults(page) == []
    shoot(page, "empty")
    give(page, sample_portrait())
    panel.locator("ul.shares li").first.wait_for()
    assert panel.get_by_text("its classes are guesses").is_visible()
    panel.get_by_text("Settings").click()
    assert faults(page) == []
    shoot(page, "segmentation")
    panel = open_tab(page, "Pose")
    panel.locator("ul.shares li").first.wait_for()
    panel.get_by_role("button", name="Boxes").click()
    panel.get_by_label("Boxes").last.fill("no box")
    panel.get_by_role("button", name="Find joints").click()
    panel.get_by_role("alert").wait_for()
    assert faults(page) == []
    shoot(page, "wrong_box")


def test_clips_and_budgets_can_be_read_by_everyone(page):
    panel = open_tab(page, "Video")
    page.get_by_role("group", name="Example clips").get_by_role("button").first.click()
    page.locator(".upload video").wait_for()
    assert faults(page) == []
    panel.get_by_role("button", name="Process the clip").click()
    panel.locator(".result video").wait_for()
    panel.locator("ul.shares li").first.wait_for()
    assert faults(page) == []
    shoot(page, "video")
    panel = open_tab(page, "Any budget")
    give(page, sample_portrait())
    panel.locator(".result img").last.wait_for()
    panel.locator("svg").last.wait_for()
    assert faults(page) == []
    shoot(page, "budget")


def test_contrast_is_measured(page):
    page.set_content("<p style='background:#fff'>" + "<b style='color:#777'>a</b> <i style='color:#767676'>b</i>" * 7)
    ratios = dict(page.evaluate(CONTRAST))
    assert ratios["a"] == pytest.approx(4.48, abs=0.01) and ratios["b"] == pytest.approx(4.54, abs=0.01)


def test_axe_finds_what_is_wrong(page):
    if not AXE.is_file():
        assert "AXE_CORE" not in os.environ, f"AXE_CORE names no file: {AXE}"
        pytest.skip("no axe-core: npm install axe-core, or AXE_CORE=…/axe-core/axe.min.js")
    page.set_content("<main><h1>a</h1><img src='data:,' alt='b'><button>c</button></main>")
    assert not [fault for fault in axe_faults(page, 3) if "image-alt" in fault or "button-name" in fault]
    page.set_content("<main><h1>a</h1><img src='data:,'><button></button></main>")
    assert {fault.split(":")[0] for fault in axe_faults(page, 3)} >= {"image-alt", "button-name"}
