"""What all pages share: one self-contained file from `template.html`, everything inline, nothing fetched."""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ahsar.lab.report import colours
from ahsar.lab.report.style import stacked
from ahsar.lab.report.svg import inline
from ahsar.lab.report.text import parts

WIDEST = 12.0  # inches: a picture of this width fills the page


def picture(name: str, finding: str, wide: Path, narrow: Path | None = None) -> dict[str, str]:
    """A picture for the page, from SVG files.

    Args:
        name: by which the template knows its caption.
        finding: what it shows, with its numbers, for those who do not see it.
        narrow: the same for a phone; without it the wide one is scrolled there.
    """
    files = {"wide": wide, "narrow": narrow}
    drawn = {kind: path.read_text(encoding="utf-8") if path else "" for kind, path in files.items()}
    return {"name": name, "finding": finding, **drawn}


def drawn(
    name: str, finding: str, draw: Callable[[Path], Path | None], path: Path, *, stacks: bool = True
) -> dict[str, str] | None:
    """Draw a picture to `path`, a PNG file, and for the page; None where there is nothing to draw.

    Args:
        draw: writes the picture to a file, of the kind that its name ends in, and returns that, or None.
        stacks: whether a phone gets the panels one below the other.
    """
    if draw(path) is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        wide = draw(Path(scratch) / "wide.svg")
        assert wide is not None
        if not stacks:
            return picture(name, finding, wide)
        with stacked():
            return picture(name, finding, wide, draw(Path(scratch) / "narrow.svg"))


def command_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """The commands that made a results folder, as far as it says: records of earlier versions name the last one alone."""
    known = about.get("commands")
    commands = [command for command in known if isinstance(command, str) and command] if isinstance(known, list) else []
    if commands:
        return {"command" if len(commands) == 1 else "commands": commands}
    last = about.get("command")
    return {"last command": [last]} if isinstance(last, str) and last and known is None else {"command": "not recorded"}


def render(content: dict[str, Any]) -> str:
    """A page of template.html. `reading`, a list of sentences, replaces those that explain a comparison."""
    import jinja2

    here = Path(__file__).parent
    files = {"layout": "page.css", "script": "table.js"}
    read = {name: (here / file).read_text(encoding="utf-8") for name, file in files.items()}
    settings = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = settings.from_string((here / "template.html").read_text(encoding="utf-8"))
    figures = [_placed(figure, number) for number, figure in enumerate(content["figures"])]
    shared = {"parts": parts, "colours": colours.css(), **read}
    return template.render({**content, "figures": figures}, **shared)


def _placed(figure: Mapping[str, str], number: int) -> dict[str, Any]:
    """A picture as elements of the page; the width (%) keeps the letters of all pictures at one size."""
    wide, narrow, finding = figure["wide"], figure["narrow"], figure["finding"]
    box = re.search(r'viewBox="\S+ \S+ (\S+) ', wide)
    assert box is not None
    width = f"{min(100, round(100 * float(box[1]) / 72 / WIDEST))}%"
    stacks = "wide" if narrow else ""
    elements = [inline(wide, f"w{number}-", finding, css_class=stacks, width=width)]
    if narrow:
        elements.append(inline(narrow, f"n{number}-", finding, css_class="narrow"))
    return {**figure, "elements": elements}
