"""Pictures of architectures and fronts are well-formed and show each block, path and dot once."""

import xml.etree.ElementTree as ET

import pytest

from scalenet.archs.arch import Arch
from scalenet.archs.drawing import draw_arch, scatter
from scalenet.cli import main
from scalenet.models.names import named_arch

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("arch", [Arch.hrnet(8), named_arch("scalenet_s0"), named_arch("scalenet_p1")])
def test_every_block_and_path_of_an_architecture_is_drawn(arch):
    picture = ET.fromstring(draw_arch(arch))
    modules = [m for _, _, m in arch.modules()]
    blocks = sum(sum(m.depths) for m in modules)
    paths = sum(len(sources) for m in modules for row in m.fusions for sources in row)
    branches = sum(len(m.depths) for m in modules)
    assert len(picture.findall(f"{SVG}rect")) == 1 + len(modules) + blocks
    assert len(picture.findall(f"{SVG}line")) == branches + paths
    width = float(picture.get("width"))
    assert all(0 <= float(line.get(end)) <= width for line in picture.findall(f"{SVG}line") for end in ("x1", "x2"))


@pytest.mark.parametrize("dots", [[], [(1.0, 0.5, "one")], [(1.0, 0.5, "a<b&\"'"), (2.0, 0.5, "two"), (1e-9, 3, "3")]])
def test_any_dots_make_a_picture(dots):
    picture = ET.fromstring(scatter(dots, "x & y", "z", marked="two", others=[(dots, "#000000", "others")]))
    circles = picture.findall(f"{SVG}circle")
    assert len(circles) == 2 * len(dots) and {c.get("data-name") for c in circles} == {name for *_, name in dots}
    assert all(0 <= float(c.get("cx")) <= 640 and 0 <= float(c.get("cy")) <= 400 for c in circles)


def test_info_draws(tmp_path, capsys):
    assert main(["info", "scalenet_s1", "--draw", str(tmp_path / "s1.svg")]) == 0
    assert (tmp_path / "s1.svg").read_text() == draw_arch(named_arch("scalenet_s1").replace(input_size=(1024, 2048)))
    assert main(["info", "scalenet_s1", "--draw", str(tmp_path / "s1.png")]) == 2
    assert "give a name that ends in .svg" in capsys.readouterr().err
