"""What makes a figure fit a phone once it is drawn: its words go on in another line, its legend has fewer columns."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

WIDTH = 4.6  # inches
_LETTERS = 32  # of a name beside an axis, in a line
_TITLE = 22  # letters of a title over one of two panels
_WIDE = 0.6  # of a letter, in sizes of the font


def fold(made: "Figure") -> None:
    """Fold the titles and names of a figure of `WIDTH`, and its legends; rows of panels that were left empty go.

    A figure whose layout is fixed stays as it is.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import FixedLocator

    if not isinstance(made.get_layout_engine(), ConstrainedLayoutEngine):
        return
    texts = [made._supxlabel, made._supylabel]  # type: ignore[attr-defined]
    for ax in made.axes:
        title: Text = ax._left_title  # type: ignore[attr-defined]
        texts += [title, ax.xaxis.label, ax.yaxis.label]
        if (grid := ax.get_gridspec()) is not None and grid.ncols > 1:
            title.set_text("\n".join(fill(line, _TITLE) for line in title.get_text().split("\n")))
        names = [label.get_text() for label in ax.get_yticklabels()]
        if isinstance(ax.yaxis.get_major_locator(), FixedLocator) and max(map(len, names), default=0) > _LETTERS:
            ax.set_yticks(ax.get_yticks(), [fill(name, _LETTERS) for name in names])
    for text in texts:
        if text is not None:
            text.set_wrap(True)
    for legend in list(made.legends):
        _fold_legend(made, legend)
    _close(made)


def _fold_legend(made: "Figure", legend: "Legend") -> None:
    """The same legend above the panels, in as many columns as there is room for."""
    texts = legend.get_texts()
    size, ink = float(texts[0].get_fontsize()), texts[0].get_color()
    said = [text.get_text() for text in texts]
    column = (4 + max(map(len, said))) * _WIDE * size / 72
    look: dict[str, Any] = {"fontsize": size, "title_fontsize": size, "labelcolor": ink, "frameon": False}
    title = legend.get_title().get_text() or None
    legend.remove()
    columns, marks = max(1, int(WIDTH / column)), [mark for mark in legend.legend_handles if mark is not None]
    made.legend(marks, said, title=title, loc="outside upper left", ncols=columns, **look)


def _close(made: "Figure") -> None:
    """Take away the room of rows in which no panel stands."""
    grids = {id(grid): grid for ax in made.axes if (grid := ax.get_gridspec()) is not None and ax.get_subplotspec() is not None}
    for grid in grids.values():
        used = {
            row
            for ax in made.axes
            if ax.axison and ax.get_gridspec() is grid and (place := ax.get_subplotspec()) is not None
            for row in place.rowspan
        }
        if 0 < len(used) < grid.nrows and np.ptp(grid.get_height_ratios()) == 0:  # not done yet
            grid.set_height_ratios([1.0 if row in used else 1e-3 for row in range(grid.nrows)])
            made.set_figheight(made.get_figheight() * len(used) / grid.nrows)
