"""Pictures inside a page: smaller than the file, nothing lost, names of their own, colours of the page."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ahsar.lab.report import colours, style
from ahsar.lab.report.svg import inline

TEXTS = ["0.123456", "a < b & c", "AHSAR − baseline"]


def file(path: Path) -> str:
    """A picture with lines, clipped dots, a heat map and letters, as matplotlib writes it."""
    made, (left, right) = style.figure(2, width=6.0)
    left.plot([0, 1, 2], [0.123456, 2.345678, 1], color=style.colour("ahsar"))
    left.scatter([0, 1], [1, 2], color=style.colour("constant"), alpha=0.5)
    right.pcolormesh([[0.1, 0.2], [0.3, 0.4]])
    left.text(0, 2, "in black, as letters are that were given no colour", color="black")
    for i, text in enumerate(TEXTS):
        left.text(0, i, text, color=style.INK)
    return style.save(made, path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> str:
    return file(tmp_path_factory.mktemp("svg") / "a.svg")


def test_it_is_whole_and_smaller(svg: str) -> None:
    got = inline(svg, "a-", 'what is "seen" & told')
    tree = ElementTree.fromstring(got)
    assert tree.get("aria-label") == 'what is "seen" & told' and tree.get("role") == "img"
    shown = {"".join(text.itertext()).strip() for text in tree.iter("text")}
    assert set(TEXTS) < shown
    before = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    for tag in ("use", "text", "image"):
        assert len(list(tree.iter(tag))) == len(list(before.iter(space + tag))) > 0, tag
    assert len(got) < 0.6 * len(svg) and "http" not in got and "DejaVu" not in got


def test_names_are_its_own_and_all_that_is_named_is_there(svg: str) -> None:
    both = inline(svg, "a-", "") + inline(svg, "b-", "")
    ids = re.findall(r' id="([^"]*)"', both)
    assert len(ids) == len(set(ids)) and all(name[:2] in ("a-", "b-") for name in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) == set(ids)
    used, ruled = set(re.findall(r'class="([^"]*)"', both)), set(re.findall(r"[>}]\.([\w-]+)\{", both))
    assert used == ruled


def test_it_takes_the_colours_of_the_page(svg: str) -> None:
    got = inline(svg, "a-", "")
    assert {f"var(--{name})" for name in ("ahsar", "constant", "ink", "soft", "faint", "paper")} <= set(
        re.findall(r"var\([^)]*\)", got)
    )
    assert not [value for value in ("#000000", *colours.LIGHT.values()) if value.lower() in got]


def test_places_stay_where_they_were(svg: str) -> None:
    def places(text: str) -> list[float]:
        return [float(x) for x in re.findall(r'<use[^>]* x="([^"]*)"', text)]

    assert places(inline(svg, "a-", "")) == pytest.approx(places(svg), abs=0.006)


def test_stacked_panels_stand_one_below_the_other_and_as_wide_as_a_phone() -> None:
    with style.stacked():
        made, axes = style.figure(3, width=12.0, height=4.0, width_ratios=[1, 2, 1])
        many, six = style.figure(4, 2, width=12.0, height=6.0)
    assert made.get_size_inches().tolist() == [4.6, 12.0] and len({ax.get_position().x0 for ax in axes}) == 1
    assert many.get_size_inches().tolist() == [4.6, 12.0] and len({round(ax.get_position().x0, 6) for ax in six}) == 2
    made, _ = style.figure(3, width=12.0)
    assert made.get_size_inches().tolist() == [12.0, 4.0]


def test_a_stacked_figure_folds_its_words_and_its_legend_and_keeps_no_empty_rows() -> None:
    title = "a title that is longer than half a phone is wide"
    with style.stacked():
        made, (first, _) = style.figure(2, width=12.0)
        first.set_yticks([0, 1], ["a name of many words that is long", "short"])
        style.words(first, title * 2, title * 2)
        lines = [first.plot([], [])[0] for _ in range(8)]
        made.legend(lines, [f"a name of an arm {i}" for i in range(8)], loc="outside upper center", ncols=8)
        many, axes = style.figure(4, 2, width=12.0, height=6.0)
        for ax in axes[5:]:
            ax.remove()
        for ax in axes[:5]:
            style.words(ax, title)
        for figure in (made, many):
            style.rendered(figure, "svg")
    assert many.get_size_inches().tolist() == [4.6, 9.0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a name of many words that is\nlong", "short"]
    for figure in (made, many):
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
        for box in (*boxes, *(ax.get_tightbbox(renderer) for ax in figure.axes)):
            assert box is not None and box.x0 > -2 and box.x1 < figure.bbox.width + 2
