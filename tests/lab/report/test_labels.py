"""Labels move apart, stay by the axes and in their order, and hide nothing."""

import numpy as np
import pytest

from ahsar.lab.report import labels, style
from tests.lab.report import seen

HEIGHTS = {
    "apart": [0.2, 0.8],
    "level": [0.5, 0.5, 0.5],
    "at the bottom": [0.002 * k for k in range(10)],
    "at the top": [1.0] * 12,
    "at both ends": [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0],
    "anywhere": list(np.random.default_rng(3).random(14)),
}


@pytest.mark.parametrize("heights", HEIGHTS.values(), ids=HEIGHTS)
@pytest.mark.parametrize("leaders", [False, True])
def test_names_of_lines_hide_none_and_keep_their_order(heights: list[float], leaders: bool) -> None:
    made, (ax,) = style.figure(width=4.6, height=3.0)
    ax.set_ylim(0, 1)
    labels.beside([(ax, [(height, f"line {i}", "black") for i, height in enumerate(heights)])], 8.0, leaders=leaders)
    assert seen.hidden(made) < 0.05 and not seen.outside(made)
    names = sorted((text for text in ax.texts if text.get_text()), key=lambda text: text.get_window_extent().y0)
    levels = [heights[int(text.get_text().split()[1])] for text in names]
    assert levels == sorted(levels)
    boxes = [text.get_window_extent() for text in names]
    assert all(box.x0 > ax.bbox.x1 for box in boxes) and len({round(box.x0, 3) for box in boxes}) == 1
    assert boxes[0].y0 > ax.bbox.y0 - 4 and boxes[-1].y1 < ax.bbox.y1 + 4
    if heights == HEIGHTS["apart"]:  # none moves without need
        moved = [ax.transData.inverted().transform((0, (box.y0 + box.y1) / 2))[1] for box in boxes]
        assert moved == pytest.approx(heights, abs=0.02)


def test_of_lines_that_end_level_the_first_is_named_on_top() -> None:
    _, (ax,) = style.figure(width=4.6, height=3.0)
    labels.beside([(ax, [(0.3, name, "black") for name in "abcde"])])
    names = sorted((text for text in ax.texts if text.get_text()), key=lambda text: -text.get_window_extent().y0)
    assert "".join(text.get_text() for text in names) == "abcde"


def test_names_of_points_hide_neither_each_other_nor_a_point() -> None:
    made, (ax,) = style.figure(width=4.6, height=3.0)
    points = 0.5 + 0.1 * np.random.default_rng(1).standard_normal((9, 2))
    ax.scatter(*points.T, s=20)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    labels.at_points(ax, [ax.text(x, y, f"p{i}", ha="center", va="center") for i, (x, y) in enumerate(points)], radius=3)
    assert seen.hidden(made) < 0.05
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(box.contains(*place) for box in boxes for place in ax.transData.transform(points))


def test_the_same_data_give_the_same_places() -> None:
    def places() -> list[float]:
        _, (ax,) = style.figure(width=4.6, height=3.0)
        labels.beside([(ax, [(0.5, name, "black") for name in "abc"])])
        return [text.get_position()[1] for text in ax.texts]

    assert places() == places()
