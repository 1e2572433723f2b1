"""Figures as SVG inside a page: text stays text, colours follow the page in the dark, a description is read aloud."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from equipoise.report._style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_SCALE = 1.25  # CSS pixels a point: text of nine points is read as text of eleven pixels
# Colour in a figure -> variable of the page, which has a value for light and one for dark.
_VARIABLES = {
    "#0072b2": "blue", "#e69f00": "orange", "#009e73": "green", "#d55e00": "red", "#cc79a7": "purple",
    "#56b4e9": "sky", "#222222": "ink", "#000000": "ink", "#333333": "ink", "#444444": "ink", "#555555": "soft",
    "#8c8c8c": "grey", "#bbbbbb": "bar", "#d0d0d0": "bar", "#cccccc": "line", "#e6e6e6": "grid", "#ffffff": "paper",
}  # fmt: skip
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(
    figure: Figure, key: str, description: str, *, mark: tuple[float, float] | None = None, name: str = "chart"
) -> str:
    """Return a figure as an ``<svg>`` element to stand in a page.

    Args:
        figure: as drawn by `equipoise.report`.
        key: unlike that of any other figure of the page; a letter, then letters, digits and dashes.
        description: what the figure shows, for those who do not see it.
        mark: where a mark is set that a script can move, in the units of the only axes; ``data-box`` then has the
            place of those axes: left, bottom, width and height of one unit, in the units of the view box.
        name: class of the element.
    """
    root = ElementTree.fromstring(_drawn(figure, key))
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    _drop(root)
    _rename(root, key)
    for element in root.iter():
        _restyle(element)
    root.attrib = {
        "viewBox": f"0 0 {width:g} {height:g}", "width": f"{_SCALE * width:.0f}", "height": f"{_SCALE * height:.0f}",
        "class": name, "role": "img", "aria-label": " ".join(description.split()),
    }  # fmt: skip
    if mark is not None:
        _set_mark(root, figure, mark, (width, height))
    return _text(root)


def _drawn(figure: Figure, key: str) -> str:
    import matplotlib

    content = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # text stays text: the reader has the font
        matplotlib.rcParams["svg.fonttype"] = "none"
        matplotlib.rcParams["svg.hashsalt"] = key  # the same figure is the same text
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue().decode()


def _drop(root: ElementTree.Element) -> None:
    """Leave out what says nothing in a page: metadata, and a style that would hold for the whole of it."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _rename(root: ElementTree.Element, key: str) -> None:
    """Name what is referred to after the figure, and nothing else: names are unique in a page."""
    used: set[str] = set()
    for element in root.iter():
        used.update(part for value in element.attrib.values() for part in _REFERENCE.findall(value))
        link = element.attrib.get(f"{{{_XLINK}}}href", "")
        used.update([link[1:]] if link.startswith("#") else [])
    new = {one: f"{key}-{place}" for place, one in enumerate(sorted(used))}
    for element in root.iter():
        found = element.attrib.pop("id", None)
        if found in new:
            element.attrib["id"] = new[found]
        for name, value in list(element.attrib.items()):
            element.attrib[name] = _REFERENCE.sub(lambda hit: f"url(#{new[hit[1]]})", value)
            if name == f"{{{_XLINK}}}href":
                element.attrib["href"] = f"#{new[value[1:]]}"
                del element.attrib[name]


def _restyle(element: ElementTree.Element) -> None:
    for name in ("style", "fill", "stroke"):
        if name in element.attrib:
            element.attrib[name] = _COLOUR.sub(_variable, element.attrib[name])
    if element.tag == f"{{{_SVG}}}text":
        element.attrib["style"] = re.sub(r"'DejaVu Sans'.*?(?=;|$)", "var(--sans)", element.attrib.get("style", ""))
    for name in ("d", "x", "y", "width", "height", "transform", "points"):
        if name in element.attrib:
            element.attrib[name] = " ".join(_LONG_NUMBER.sub(_rounded, element.attrib[name]).split())


def _variable(hit: re.Match[str]) -> str:
    return f"var(--{_VARIABLES[hit[0]]})" if hit[0] in _VARIABLES else hit[0]


def _rounded(hit: re.Match[str]) -> str:
    return f"{float(hit[0]):.2f}".rstrip("0").rstrip(".")


def _set_mark(root: ElementTree.Element, figure: Figure, mark: tuple[float, float], size: tuple[float, float]) -> None:
    axes = figure.axes[0]
    box, (left, right), (low, high) = axes.get_position(), axes.get_xlim(), axes.get_ylim()
    across, up = box.width * size[0] / (right - left), box.height * size[1] / (high - low)
    x, y = box.x0 * size[0] - left * across, size[1] * (1 - box.y0) + low * up
    root.attrib["data-box"] = f"{x:.2f} {y:.2f} {across:.3f} {up:.3f}"
    place = {"cx": f"{x + mark[0] * across:.2f}", "cy": f"{y - mark[1] * up:.2f}"}
    ElementTree.SubElement(root, f"{{{_SVG}}}circle", {"class": "mark", "r": "4.5", **place})


def _text(root: ElementTree.Element) -> str:
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.tail = None
        if element.text is not None and not element.text.strip():
            element.text = None
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
