"""What all pages share: one self-contained file from `template.html`, everything inline, nothing fetched."""

import base64
from pathlib import Path
from typing import Any

from ahsar.lab.report.style import DPI

WIDEST = 12.0  # inches: a picture of this width fills the page


def picture(path: Path) -> dict[str, Any]:
    """A picture for the page; the width (%) keeps the letters of all pictures at one size."""
    content = path.read_bytes()
    width = int.from_bytes(content[16:20])  # where PNG keeps it
    return {
        "name": path.stem,
        "src": base64.b64encode(content).decode(),
        "width": min(100, round(100 * width / (WIDEST * DPI))),
    }


def parts(cell: str) -> tuple[str, str]:
    """A cell's number, and what qualifies it (interval, spread or ratio; may be empty), which goes to a second line."""
    start = next((at for mark in (" [", " ±", " (") if (at := cell.find(mark)) > 0), len(cell))
    return cell[:start], cell[start + 1 :]


def render(content: dict[str, Any]) -> str:
    """A page of template.html. `reading`, a list of sentences, replaces those that explain a comparison."""
    import jinja2

    source = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    settings = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return settings.from_string(source).render(content, parts=parts)
