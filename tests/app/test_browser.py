"""The app in a real browser: one upload for all tabs, examples, boxes, clips, wrong files, a telephone.

Screenshots to look at are left in ``out/screenshots``.
"""

import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

import scalenet
from scalenet.data.images import save_image
from scalenet.data.samples import sample_photograph, sample_portrait

from .conftest import SIZES, give, open_tab, panel_of, shoot

pytestmark = pytest.mark.browser
PAGE_SCRIPT = Path(scalenet.__file__).parent / "app" / "page.js"
TABS = {"Segmentation": 640, "Pose": 512, "Everyone": 512}  # and how wide the result is


def drawn(panel) -> np.ndarray:
    """RGB of the result's second image."""
    address = panel.locator(".result img").last.get_attribute("src")
    return cv2.imdecode(np.frombuffer(httpx.get(address).content, np.uint8), 1)[..., ::-1]


def swatches(panel) -> list[tuple[int, ...]]:
    """Colours of the legend."""
    return [
        tuple(map(int, re.findall(r"\d+", i.evaluate("e => getComputedStyle(e).backgroundColor"))))
        for i in panel.locator("ul.shares i").all()
    ]


@pytest.mark.parametrize("look", ["desktop-light", "phone-light"])
def test_one_upload_is_answered_in_every_tab(page):
    assert not panel_of(page).get_by_role("button", name="JSON").is_visible()
    give(page, sample_photograph())
    panel = panel_of(page)
    panel.locator("ul.shares li").first.wait_for()
    assert {"building", "sky", "tree"} <= {
        row.split("\n")[0] for row in panel.locator("ul.shares li").all_inner_texts()
    }
    facts = panel.locator(".facts p").inner_text()
    assert "scalenet_s0" in facts and "GMACs at 480 x 360" in facts and "640 x 427 pixels in" in facts
    with page.expect_download() as download:
        panel.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == "china.json"
    give(page, sample_portrait())
    for tab, what in {"Pose": "person 1", "Everyone": "person 1", "Segmentation": "car"}.items():
        panel = open_tab(page, tab)
        panel.locator("ul.shares li").filter(has_text=what).first.wait_for()
        assert "512 x 600 pixels" in panel.locator(".facts p").inner_text()
        assert drawn(panel).shape == (600, 512, 3) and panel.locator(".result img").count() == 2
    open_tab(page, "Any budget").locator(".result img").last.wait_for()


EXAMPLES = {  # place: tab, what its legend must hold
    0: ("Segmentation", r"^person\n[6-9]\d\.\d%"), 1: ("Pose", r"^person 1 · (9|1\d) of 17 joints"),
    2: ("Segmentation", r"^sky\n4\d\.\d%\ntree\n3\d\.\d%\nbuilding"),
}  # fmt: skip


@pytest.mark.parametrize("place", EXAMPLES)
def test_examples_open_their_tab_and_succeed(page, place):
    tab, expected = EXAMPLES[place]
    panel_of(page).wait_for()
    buttons = page.locator("[data-example]").filter(visible=True)
    assert buttons.count() == 3 and all(len(i.get_attribute("alt")) > 20 for i in buttons.locator("img").all())
    upload, first = page.locator(".upload").first.bounding_box(), buttons.first.bounding_box()
    assert upload["x"] <= first["x"] < upload["x"] + upload["width"] and first["y"] < 600, "beside the upload"
    buttons.nth(place).click()
    panel_of(page).locator("ul.shares li").first.wait_for()
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == tab
    assert re.search(expected, "\n".join(panel_of(page).locator("ul.shares li").all_inner_texts()))
    names = page.get_by_role("tab").all_inner_texts()
    assert names == ["Segmentation", "Pose", "Everyone", "Video", "Any budget"]
    shoot(page, f"example_{place}")


def test_networks_are_named_by_what_they_do(page):
    give(page, sample_portrait())
    panel = panel_of(page)
    choice = panel.get_by_label("Network")
    assert choice.input_value().startswith("Streets")
    choice.click()
    page.get_by_role("option", name="People's outlines").click()
    panel.locator(".facts p").filter(has_text="scalenet_s0.person").wait_for()
    panel.get_by_text("Settings").click()
    before = drawn(panel)
    panel.get_by_label("number input for Overlay opacity").fill("1")
    panel.get_by_role("button", name="Segment", exact=True).click()
    page.wait_for_function(
        "old => [...document.querySelectorAll('.result img')].at(-1).src !== old",
        arg=panel.locator(".result img").last.get_attribute("src"),
    )
    assert np.abs(drawn(panel).astype(int) - before).mean() > 5
    assert len(swatches(panel)) == 2


def drag(page, image, corners):
    """Draw a box between two corners, given as shares of an image's width and height."""
    image.scroll_into_view_if_needed()
    frame = image.bounding_box()
    points = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def test_boxes_are_drawn_with_the_mouse_and_people_have_their_swatches_colours(page):
    panel = open_tab(page, "Pose")
    give(page, sample_portrait())
    panel.locator("ul.shares li").first.wait_for()
    panel.get_by_role("button", name="Boxes").click()
    image, field, rows = panel.locator(".draw img"), panel.get_by_label("Boxes").last, panel.locator("ul.shares li")
    drag(page, image, [(0.9, 0.9), (0.1, 0.1)])
    page.wait_for_function("() => document.querySelectorAll('.draw rect.over').length === 1")
    box = [int(n) for n in field.input_value().split(",")]
    np.testing.assert_allclose(box, [51, 60, 410, 480], atol=4)
    drag(page, image, [(0, 0), (0.5, 0.5)])
    rows.nth(1).wait_for()
    assert field.input_value().count("\n") == 1 and panel.locator(".draw rect.over").count() == 2
    colours, pixels = swatches(panel), drawn(panel).astype(int)
    assert len(set(colours)) == 2
    for colour in colours:
        assert (np.abs(pixels - colour).max(-1) < 24).sum() > 100, f"{colour} is drawn"
    shoot(page, "boxes")
    field.fill("1, 2, 3")
    panel.get_by_role("button", name="Find joints").click()
    line = panel.get_by_role("alert")
    line.filter(has_text="line 1: four numbers").wait_for()
    assert not panel.locator(".result img").count() and not rows.count(), "what was there is cleared"
    assert 0 < line.bounding_box()["y"] - field.bounding_box()["y"] < 250, "by its field"
    panel.get_by_role("button", name="Remove all boxes").click()
    rows.first.wait_for()
    assert field.input_value() == "" and not line.count() and rows.count() == 1


@pytest.mark.parametrize("look", ["desktop-light", "phone-light"])
def test_a_clip_and_its_legend_beside_the_frame(page):
    panel = open_tab(page, "Video")
    page.get_by_role("group", name="Example clips").get_by_role("button").last.click()
    page.locator(".upload video").wait_for()
    panel.get_by_role("button", name="Process the clip").click()
    panel.locator(".result video").wait_for()
    seconds = panel.locator(".result video").evaluate(
        "e => e.readyState ? e.duration : new Promise(r => e.onloadedmetadata = () => r(e.duration))"
    )
    assert seconds == pytest.approx(2, abs=0.1), "the browser can play it"
    assert "24 frames of 320 x 240 pixels" in panel.locator(".facts p").inner_text()
    assert panel.get_by_role("button", name="JSON lines").is_visible()
    frame, legend = panel.locator(".result").bounding_box(), panel.locator("ul.shares").bounding_box()
    if page.name.startswith("desktop"):
        assert legend["x"] >= frame["x"] + frame["width"] and legend["y"] < frame["y"] + frame["height"]
    else:
        page.wait_for_function("() => scrollY > 200")
    shoot(page, "video")


def test_a_wrong_file_gives_a_line_by_its_field_that_goes_with_the_next(page, tmp_path):
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no image")
    give(page, sample_photograph())
    panel = panel_of(page)
    panel.locator("ul.shares li").first.wait_for()
    give(page, wrong)
    line = page.get_by_role("alert").filter(has_text="This file is not an image that can be read")
    line.wait_for()
    assert not panel.locator(".result img").count() and not panel.locator("ul.shares li").count()
    upload = page.locator(".upload").first.bounding_box()
    assert 0 <= line.bounding_box()["y"] - upload["y"] - upload["height"] < 60 and line.bounding_box()["x"] < 600
    assert "Traceback" not in page.content() and "/gradio_api" not in line.inner_text()
    shoot(page, "wrong")
    save_image(tmp_path / "right.png", np.full((60, 80, 3), 99, np.uint8))
    give(page, tmp_path / "right.png")
    panel.locator("ul.shares li").first.wait_for()
    assert not line.count()


def test_a_wrong_clip_gives_a_line_by_its_field(page, tmp_path):
    wrong = tmp_path / "wrong.mp4"
    wrong.write_text("no clip")
    panel = open_tab(page, "Video")
    page.get_by_role("group", name="Example clips").wait_for()
    page.locator(".upload input[type=file]").last.set_input_files(wrong)
    panel.get_by_role("button", name="Process the clip").click()
    line = page.get_by_role("alert").filter(has_text="The clip")
    line.wait_for()
    assert line.bounding_box()["x"] < 600 and not panel.locator(".result video").count()


LATE = """() => setTimeout(() => {
  const image = new Image(), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [300, 400];
  image.src = canvas.toDataURL();
  document.querySelector(".result").append(image);
  setTimeout(() => document.body.append(Object.assign(document.createElement("p"), { style: "height: 600px" })), 400);
}, 1000)"""


def test_a_late_result_is_held_in_view_while_the_page_grows(browser):
    page = browser.new_page(viewport=SIZES["phone"])
    page.set_content("<body style='margin: 0'><p style='height: 700px'></p><div class='result'></div>")
    page.evaluate(PAGE_SCRIPT.read_text().partition("\n")[2])
    page.evaluate(LATE)
    page.wait_for_function("() => Math.abs(document.querySelector('.result').getBoundingClientRect().top) < 60")
    page.close()


IN_VIEW = """() => {  // its top at the window's, or as near as the end of the page lets it come
  const top = document.querySelector(".result").getBoundingClientRect().top;
  const left = document.documentElement.scrollHeight - innerHeight - scrollY;
  return Math.abs(top) < 60 || (left < 2 && top > 0 && top < innerHeight / 2);
}"""


@pytest.mark.parametrize("look", ["phone-light", "phone-dark"])
def test_on_a_telephone_the_result_comes_into_view(page):
    give(page, sample_photograph())
    panel_of(page).locator("ul.shares li").first.wait_for()
    assert page.evaluate("document.querySelector('.result').getBoundingClientRect().top + scrollY > innerHeight")
    page.wait_for_function(IN_VIEW)
