"""The colours of pages and pictures, on light paper and on dark: letters in any of them have a contrast of 4.5 to the paper."""

from collections.abc import Sequence

# Of the arms: hues that colour-blind readers can tell apart as far as so many can be; dashes repeat the difference.
COLOURS = {
    "baseline": "#444444",
    "ahsar": "#0072B2",
    "constant": "#B35900",
    "shuffled": "#B0459A",
    "attached": "#757575",
    "lr": "#6F3D14",
    "learnable": "#00805C",
    "rate-loss": "#C8321E",
    "adaptation": "#007C91",
    "ds-atgo": "#5B3FA0",
    "fluctuation": "#4A6A00",
    "tebn": "#857000",
    "other": "#8B4A62",
}
COLOURS_DARK = {
    "baseline": "#D0D0D0",
    "ahsar": "#4DB2F0",
    "constant": "#F0A030",
    "shuffled": "#E08CCB",
    "attached": "#989898",
    "lr": "#C79A6B",
    "learnable": "#2EC79A",
    "rate-loss": "#F5806A",
    "adaptation": "#7FDCE8",
    "ds-atgo": "#B39DF0",
    "fluctuation": "#A8C63C",
    "tebn": "#E8D44D",
    "other": "#D9A0B4",
}
PAPER, INK, SOFT, FAINT, ALARM = "#FFFFFF", "#222222", "#666666", "#DDDDDD", "#A33A1F"
PAPER_DARK, INK_DARK, SOFT_DARK, FAINT_DARK, ALARM_DARK = "#14181B", "#E6E9EB", "#A9B2B8", "#3A4248", "#FF9C82"
# No colours of the page, so that they stay in the dark, as the cells do on which they stand.
ON_LIGHT, ON_DARK = "#010101", "#FEFEFE"
_HALFWAY = 0.179  # the luminance that black and white differ from equally

_PAGE = {"paper": PAPER, "ink": INK, "soft": SOFT, "faint": FAINT, "alarm": ALARM}
_PAGE_DARK = {"paper": PAPER_DARK, "ink": INK_DARK, "soft": SOFT_DARK, "faint": FAINT_DARK, "alarm": ALARM_DARK}
LIGHT = {**_PAGE, **COLOURS}
DARK = {**_PAGE_DARK, **COLOURS_DARK}


def letters_on(cell: Sequence[float]) -> str:
    """The colour of letters on a cell of a heat map, which keeps its own in the dark: the one that stands out more.

    Args:
        cell: red, green and blue in [0, 1]; what follows is not read.
    """
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in cell[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # of WCAG 2
    return ON_LIGHT if luminance > _HALFWAY else ON_DARK


def css() -> str:
    """Every colour as a variable, `var(--ink)`, which follows the reader's wish for light or dark."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in colours.items()) for colours in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
    )


def themed(svg: str) -> str:
    """A picture in the colours of light paper, made to follow the page: each of them by its variable, black as ink."""
    for name, value in (*LIGHT.items(), ("ink", "#000000")):
        svg = svg.replace(value.lower(), f"var(--{name})")
    return svg
