"""Letters in every colour can be read on the paper, light or dark; and a picture takes the colours of its page."""

import pytest

from ahsar.lab.report import colours, style

PAPERS = [colours.LIGHT, colours.DARK]
PAIRS = [(name, theme) for theme in PAPERS for name in theme if name not in ("paper", "faint")]  # faint: lines, no letters


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1, of equals, to 21, of black and white."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_wcag() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.005)  # the grey that just fails, as is well known
    assert contrast("#D98200", "#FFFFFF") < 3


@pytest.mark.parametrize(("name", "theme"), PAIRS, ids=[f"{name}-{theme['paper']}" for name, theme in PAIRS])
def test_letters_have_a_contrast_of_4_5_to_the_paper(name: str, theme: dict[str, str]) -> None:
    assert contrast(theme[name], theme["paper"]) >= 4.5


@pytest.mark.parametrize("name", ["RdBu", "viridis"])
def test_numbers_stand_out_on_every_cell_of_a_heat_map(name: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    for cell in colormaps[name](range(256)):
        assert contrast(to_hex(cell), colours.letters_on(cell)) >= 4.5
    assert not {colours.ON_LIGHT, colours.ON_DARK} & set(colours.LIGHT.values())  # or they would change in the dark


def test_both_themes_have_the_same_colours_and_no_two_arms_share_one() -> None:
    assert list(colours.LIGHT) == list(colours.DARK)
    for theme in PAPERS:
        assert len(set(theme.values())) == len(theme)
    assert set(style.DASHES) < set(colours.COLOURS)
    assert style.colour("constant@0.5") == colours.COLOURS["constant"]
    assert style.colour("one-scale") == colours.COLOURS["other"]
