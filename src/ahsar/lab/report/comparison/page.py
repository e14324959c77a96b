"""The page of a comparison."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ahsar.files import write_whole
from ahsar.lab.report.comparison.figures import draw
from ahsar.lab.report.comparison.seen import seen
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.comparison.tables import (
    LEVELS_NOTE,
    NOTE,
    PRICE,
    PRICE_NOTE,
    Summary,
    grid_rows,
    header,
    levels_header,
    levels_rows,
    price_rows,
    rows,
    target_words,
)
from ahsar.lab.report.comparison.words import findings, headline
from ahsar.lab.report.page import command_facts, picture, render
from ahsar.lab.report.style import stacked
from ahsar.lab.results.folder import about_of
from ahsar.lab.results.records import read


def write(out: Path) -> Path:
    """Write summary.json, the pictures and report.html into `out` from its trials.jsonl; returns the page's path.

    Every file is replaced whole, and none is touched before all are made. Raises ResultsError as `records.read` does.
    """
    out = Path(out)
    records = read(out)
    summary = summarise(records)
    with tempfile.TemporaryDirectory(dir=out, prefix=".report.") as scratch:
        wide, narrow = (Path(scratch) / kind for kind in ("wide", "narrow"))
        pictures = draw(records, Path(scratch))
        for_page = draw(records, wide, "svg")
        with stacked():
            for_phone = draw(records, narrow, "svg")
        told = seen(summary, records)
        figures = [picture(a.stem, told[a.stem], a, b) for a, b in zip(for_page, for_phone, strict=True)]
        page = render(_content(summary, figures, command_facts(about_of(out))))
        (out / "scales.png").unlink(missing_ok=True)  # the one picture that not every comparison has
        for drawn in pictures:
            write_whole(out / drawn.name, drawn.read_bytes())
    write_whole(out / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return write_whole(out / "report.html", page)


def _content(summary: Summary, figures: Sequence[dict[str, str]], commands: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of one comparison."""
    name = summary["workload"] + (" (quick)" if summary["quick"] else "")
    tables = [{"title": "The arms", "header": header(summary), "rows": rows(summary), "note": NOTE}]
    if at_levels := levels_rows(summary):
        title = "Along the baseline's own curve"
        tables.append({"title": title, "header": levels_header(summary), "rows": at_levels, "note": LEVELS_NOTE})
    if len(summary["constant_grid"]) > 1:
        cells = grid_rows(summary)
        tables.append({"title": "Every constant scale", "header": header(summary), "rows": cells, "note": ""})
    tables.append({"title": "What it costs", "header": PRICE, "rows": price_rows(summary), "note": PRICE_NOTE})
    seeds, threads = summary["seeds"], summary["threads"]
    facts = {
        "workload": f"{name}, hash {summary['workload_hash']}",
        "goal": target_words(summary),
        "seeds": ", ".join(map(str, seeds)),
        "margin": f"{summary['margin']:g} {summary['metric']}",
        **commands,
        "device": f"{summary['device'] or 'unknown'}, {threads or 'unknown number of'} thread{'s' * (threads != 1)} per trial",
        **summary["versions"],
    }
    finished = any(row["n"] for row in (*summary["arms"].values(), *summary["constant_grid"]))
    return {
        "title": f"AHSAR on {name}",
        "headline": headline(summary),
        "findings": findings(summary),
        "tables": tables,
        "figures": figures if finished else [],
        "failures": summary["failures"],
        "facts": facts,
    }
