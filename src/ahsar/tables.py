"""Tables for people: plain text for a terminal, HTML for a notebook; with the standard library alone."""

from collections.abc import Sequence
from html import escape

Rows = Sequence[Sequence[str]]


def text_table(header: Sequence[str], rows: Rows) -> str:
    """Columns of equal width under their names, without trailing spaces; columns that are empty in all rows are left out."""
    header, rows = _without_empty(header, rows)
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def html_table(header: Sequence[str], rows: Rows, caption: str = "", notes: Sequence[str] = ()) -> str:
    """The same as HTML; the first cell of a row is its heading."""
    header, rows = _without_empty(header, rows)
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>{below}"


def _without_empty(header: Sequence[str], rows: Rows) -> tuple[list[str], list[list[str]]]:
    kept = [i for i in range(len(header)) if i == 0 or any(row[i] for row in rows)]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
