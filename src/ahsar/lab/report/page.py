"""What all pages share: one self-contained file from `template.html`, everything inline, nothing fetched."""

import base64
from pathlib import Path
from typing import Any

from PIL import Image

from ahsar.lab.report.style import DPI
from ahsar.lab.report.text import parts

WIDEST = 12.0  # inches: a picture of this width fills the page


def picture(path: Path) -> dict[str, Any]:
    """A picture for the page; the width (%) keeps the letters of all pictures at one size."""
    with Image.open(path) as opened:
        share = opened.width / (WIDEST * DPI)
    return {
        "name": path.stem,
        "src": base64.b64encode(path.read_bytes()).decode(),
        "width": min(100, round(100 * share)),
    }


def render(content: dict[str, Any]) -> str:
    """A page of template.html. `reading`, a list of sentences, replaces those that explain a comparison."""
    import jinja2

    source = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    settings = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return settings.from_string(source).render(content, parts=parts)
