"""The canvas of a picture for a talk: its message on top, what it rests on below, and large quiet axes between."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ahsar.files import write_whole
from ahsar.lab.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 40 / 3, 7.5  # inches: 16:9, as presentation programs have it
TITLE, TEXT, LEAST = 26, 20, 18  # points; nothing is smaller than the last
_TITLE_LINE, _BASIS_LINE = 56, 92  # letters
_EDGE = 0.03  # of the width and height
_BETWEEN = (0.02, 0.12, 0.96, 0.70)  # left, bottom, width and height of what the axes may take


def slide(message: str, basis: str) -> "tuple[Figure, Axes]":
    """An empty picture.

    Args:
        message: what it says, in at most two lines of 56 letters.
        basis: what that rests on: data, seeds, intervals, in at most two lines of 92.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    made, (ax,) = style.figure(width=WIDTH, height=HEIGHT)
    engine = made.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=_BETWEEN)
    made.text(_EDGE, 1 - _EDGE, fill(message, _TITLE_LINE), fontsize=TITLE, color=style.INK, va="top", weight="bold")
    made.text(_EDGE, _EDGE, fill(basis, _BASIS_LINE), fontsize=LEAST, color=style.SOFT, va="bottom")
    ax.tick_params(labelsize=LEAST, length=5)
    return made, ax


def axes(ax: "Axes", x: str = "", y: str = "") -> None:
    """Names of the axes."""
    ax.set_xlabel(x, fontsize=TEXT, color=style.SOFT, labelpad=8)
    ax.set_ylabel(y, fontsize=TEXT, color=style.SOFT, labelpad=8)


def write(slides: "Mapping[str, Figure]", out: Path) -> list[Path]:
    """Write each as `out`/NUMBER-NAME.png and .svg, in their order; all are made before one is written."""
    content = {
        f"{number}-{name}.{kind}": style.rendered(made, kind)
        for number, (name, made) in enumerate(slides.items(), 1)
        for kind in ("png", "svg")
    }
    return [write_whole(out / name, data) for name, data in content.items()]
