"""What a reader sees of a drawn figure: its texts, whether they hide each other, and how they stand out from paper."""

from itertools import combinations
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(made: Figure) -> list[Text]:
    """Every text that is drawn, ticks and legends included."""
    made.draw_without_rendering()
    shown = [text for text in made.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text().strip()]
    return [text for text in shown if not _of_hidden_axes(text) and _is_drawn(made, text)]


def hidden(made: Figure) -> float:
    """The largest share of a text's box that another text covers."""
    boxes = [text.get_window_extent() for text in texts(made)]
    worst = 0.0
    for a, b in combinations(boxes, 2):
        wide, tall = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 0 and tall > 0:
            worst = max(worst, wide * tall / min(a.width * a.height, b.width * b.height))
    return worst


def outside(made: Figure) -> list[str]:
    """The texts that the edge of the figure cuts."""
    wide, tall = made.bbox.width, made.bbox.height
    boxes = {text.get_text(): text.get_window_extent() for text in texts(made)}
    return [name for name, box in boxes.items() if min(box.x0, box.y0) < -1 or box.x1 > wide + 1 or box.y1 > tall + 1]


def contrast(colour: Any) -> float:
    """Of a colour on white, from 1 to 21, as WCAG 2 defines it."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _of_hidden_axes(text: Text) -> bool:
    return text.axes is not None and not text.axes.get_visible()


def _is_drawn(made: Figure, text: Text) -> bool:
    """Ticks beyond the limits are kept, but not drawn."""
    for ax in made.axes:
        for axis in (ax.xaxis, ax.yaxis):
            every = [label for tick in (*axis.majorTicks, *axis.minorTicks) for label in (tick.label1, tick.label2)]
            if text in every:
                shown = [label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)]  # type: ignore[attr-defined]
                return ax.axison and text in shown
    return True
