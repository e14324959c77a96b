"""Labels in pictures, moved apart by the package adjustText; call these last: they fix the layout of the figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ahsar.lab.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

End = tuple[float, str, Any]  # height in data, text, colour
_ROUNDS = 1500  # of pushing; a count and no time, so that the same data give the same picture


def beside(panels: "Sequence[tuple[Axes, Sequence[End]]]", size: float = 9.0, *, leaders: bool = False) -> None:
    """Names of lines at the right edge of axes, moved up and down so that none hides another.

    Args:
        panels: axes of one figure, and where each of their lines ends, its name and its colour; heights are linear.
        size: of the letters, in points.
        leaders: draw a thin line from each name to the end of its line.
    """
    from matplotlib.transforms import ScaledTranslation

    placed = []
    for ax, ends in panels:
        made = ax.get_figure(root=True)
        assert made is not None
        away = (1.6 if leaders else 0.7) * size / 72  # inches
        place = ax.get_yaxis_transform() + ScaledTranslation(away, 0, made.dpi_scale_trans)  # x over the axes, y in data
        low, high = ax.get_ylim()
        ordered = sorted(reversed(ends), key=lambda end: end[0])
        hair = 1e-4 * (high - low)  # of lines that end level the first is named on top
        shared = {"transform": place, "fontsize": size, "va": "center", "ha": "left"}
        texts = [ax.text(1.0, end[0] + i * hair, end[1], color=end[2], **shared) for i, end in enumerate(ordered)]
        placed.append((ax, texts, [end[0] for end in ordered]))
    _fix(*(ax for ax, _ in panels))
    for ax, texts, heights in placed:
        _push_up_and_down(ax, texts)
        moved = sorted(text.get_position()[1] for text in texts)  # in their order
        for text, height, place in zip(texts, heights, moved, strict=True):
            text.set(position=(1.0, place), ha="left")
            if leaders:
                line = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1, "color": text.get_color()}
                spot = {"xycoords": ax.get_yaxis_transform(), "textcoords": text.get_transform(), "annotation_clip": False}
                ax.annotate("", (1.0, height), (1.0, place), arrowprops=line, **spot)


def at_points(ax: "Axes", texts: "Sequence[Text]", dots: Sequence[Sequence[float]] = (), radius: float = 4.0) -> None:
    """Move texts, each of which stands on the middle of what it names, beside it: off each other and off all these.

    Args:
        dots: more places that no text should hide, (x, y) in data.
        radius: of what is named and of the dots, in points.
    """
    from adjustText import adjust_text
    from matplotlib.transforms import Bbox

    if not texts:
        return
    for text in texts:
        text.set_in_layout(False)  # they come to lie within the axes, which need not make room for them
    _fix(ax)
    made = ax.get_figure(root=True)
    assert made is not None
    reach, back = radius / 72 * made.dpi, ax.transData.inverted()
    places = ax.transData.transform([*(text.get_position() for text in texts), *dots])
    adjust_text(
        list(texts),
        objects=[Bbox(back.transform([place - reach, place + reach])) for place in places],
        ax=ax,
        expand=(1.1, 1.15),
        force_text=(0.2, 0.3),
        force_static=(0.2, 0.3),
        iter_lim=_ROUNDS,
        min_arrow_len=2 * reach,
        arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": radius, "color": "#666666"},
    )


def _push_up_and_down(ax: "Axes", texts: "list[Text]") -> None:
    """Up to two pixels a round, away from each other and from what lies above and below the axes."""
    from adjustText import adjust_text
    from matplotlib.transforms import Bbox

    low, high = ax.get_ylim()
    adjust_text(
        texts,
        objects=[Bbox([[-9, 2 * low - high], [9, low]]), Bbox([[-9, high], [9, 2 * high - low]])],
        ax=ax,
        avoid_self=False,
        ensure_inside_axes=False,
        prevent_crossings=False,  # their order keeps them from it
        only_move=dict.fromkeys(("text", "static", "explode", "pull"), "y"),
        expand=(1.0, 1.05),
        max_move=2,
        force_static=(0.0, 100.0),  # stronger than any crowd
        force_pull=(0.0, 0.0),
        force_explode=(0.0, 0.0),
        iter_lim=_ROUNDS,
    )


def _fix(*axes: "Axes") -> None:
    """Lay the figure out, once and for all: else every text that moves would have it laid out anew."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    for made in {ax.get_figure(root=True) for ax in axes}:
        if made is not None and not isinstance(made.get_layout_engine(), PlaceHolderLayoutEngine):
            style.fold(made)
            made.draw_without_rendering()
            made.set_layout_engine("none")
