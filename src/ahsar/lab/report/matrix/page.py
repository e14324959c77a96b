"""The page of a matrix: its numbers as sentences, tables and a picture, in HTML and Markdown."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.report.comparison.summary import plain, summarise
from ahsar.lab.report.matrix import forest, fronts, seen, tables
from ahsar.lab.report.matrix.numbers import combined
from ahsar.lab.report.matrix.words import findings, headline
from ahsar.lab.report.names import of_cells
from ahsar.lab.report.page import command_facts, drawn, render
from ahsar.lab.report.text import markdown_table
from ahsar.lab.results.folder import about_of as about_of_comparison
from ahsar.lab.results.matrix import about_of
from ahsar.lab.results.records import read


def write(out: Path) -> Path:
    """Write matrix.json, .md, .html, .png and, with arms enough, matrix-front.png into `out` from the cells that ran.

    Returns the page's path.

    Raises:
        ResultsError: `out` holds no matrix, or none of its cells has run.
    """
    about = about_of(out)
    title = f"Matrix {about['name']} ({'quick' if about['quick'] else 'full'} budget)"
    numbers = collect(out)
    folders = {cell: out / cell for cell in numbers["cells"]}
    return _write(out, "matrix", numbers, folders, title, command_facts(about), about["versions"])


def collect(out: Path) -> dict[str, Any]:
    """The numbers of matrix.json, from the trials and robustness.json of every cell that ran; raises as `write`."""
    about = about_of(out)
    ran = {cell: out / cell for cell in about["cells"] if _has_run(out / cell)}
    if not ran:
        raise ResultsError(
            f"{out}: none of its {len(about['cells'])} cells has run: run `ahsar compare {about['name']}` with this --out"
        )
    missing = [cell for cell in about["cells"] if cell not in ran]
    one = about.get("one_constant")
    return plain({"matrix": about["name"], "quick": about["quick"], "missing": missing, **_numbers(ran, one)})


def combine(outs: Sequence[Path], into: Path, command: str = "") -> Path:
    """The same page over comparisons that were run one by one: combined.json, .md, .png and .html in the folder `into`.

    Args:
        command: what was typed for it; those that made the comparisons stand in their folders.

    Returns the page's path. Raises ResultsError if a folder is unusable or a workload comes twice.
    """
    ran: dict[str, Path] = {}
    for out in outs:
        first = read(out)[0]
        name = first["workload"] + (" (quick)" if first["quick"] else "")
        if name in ran:
            raise ResultsError(f"{out}: holds {name} again: give one folder per workload")
        ran[name] = out
    if not ran:
        raise ResultsError("there is nothing to combine: give at least one --out folder")
    numbers = plain({"matrix": None, "quick": None, "missing": [], **_numbers(ran, None)})
    known = {name: command_facts(about_of_comparison(folder)) for name, folder in ran.items()}
    facts = {f"{label} of {name}": value for name, each in known.items() for label, value in each.items()}
    first = {**command_facts({"commands": [command]}), **facts}
    return _write(into, "combined", numbers, ran, "AHSAR over several workloads", first, {})


def _has_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("trials.jsonl", "trials.jsonl.gz"))


def _numbers(ran: dict[str, Path], one_constant: float | None) -> dict[str, Any]:
    """Of results folders by cell, and the constant that stands for all of them, if there is one."""
    files = {cell: folder / "robustness.json" for cell, folder in ran.items()}
    robust = {cell: json.loads(file.read_text(encoding="utf-8")) for cell, file in files.items() if file.exists()}
    summaries = {cell: summarise(read(folder), one_constant=one_constant) for cell, folder in ran.items()}
    return {"one_constant": one_constant, **combined(summaries, robust)}


def _write(
    out: Path,
    stem: str,
    numbers: dict[str, Any],
    folders: Mapping[str, Path],
    title: str,
    first: dict[str, Any],
    versions: dict[str, str],
) -> Path:
    content = _content(numbers, title, {**first, "cells": ", ".join(numbers["cells"]), **versions})
    names = of_cells(folders)
    figures = [
        drawn("matrix", seen.cells(numbers, names), partial(forest.draw, numbers, folders), out / f"{stem}.png"),
        drawn("front", seen.front(numbers), partial(fronts.draw, numbers, names), out / f"{stem}-front.png"),
    ]
    write_whole(out / f"{stem}.json", json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / f"{stem}.md", _markdown(content))
    return write_whole(out / f"{stem}.html", render({**content, "figures": [figure for figure in figures if figure]}))


def _content(numbers: dict[str, Any], title: str, facts: dict[str, Any]) -> dict[str, Any]:
    """What the template shows."""
    shown = [
        {
            "title": "AHSAR against each opponent, over cells",
            "header": list(tables.OVER),
            "rows": tables.opponent_rows(numbers),
            "note": tables.NOTE,
        }
    ]
    if rows := tables.learning_rows(numbers):
        title_of = f"Without the cells whose baseline never learns ({len(numbers['never_learns'])})"
        shown.append({"title": title_of, "header": list(tables.LEARNING), "rows": rows, "note": tables.LEARNING_NOTE})
    cells = tables.cell_rows(numbers)
    shown.append({"title": "Every cell", "header": list(tables.CELLS), "rows": cells, "note": tables.CELLS_NOTE, "sorts": True})
    if rows := tables.rival_rows(numbers):
        title_of = "AHSAR's speed-up in steps against the other opponents"
        shown.append({"title": title_of, "header": rows[0], "rows": rows[1:], "note": "", "sorts": True})
    if rows := tables.front_rows(numbers):
        title_of = "What accuracy costs in synaptic operations"
        shown.append({"title": title_of, "header": list(tables.FRONT), "rows": rows, "note": tables.FRONT_NOTE})
    if rows := tables.lasting_rows(numbers):
        note = tables.LASTING_NOTE
        shown.append({"title": "What lasts", "header": list(tables.LASTING), "rows": rows, "note": note, "sorts": True})
    return {
        "title": title,
        "headline": headline(numbers),
        "tables": shown,
        "findings": findings(numbers),
        "failures": [
            {**failure, "trial": f"{name} {failure['trial']}"}
            for name, cell in numbers["cells"].items()
            for failure in cell["failures"]
        ],
        "facts": facts,
    }


def _markdown(content: dict[str, Any]) -> str:
    lines = [f"# {content['title']}\n", content["headline"] + "\n", *(f"- {text}" for text in content["findings"])]
    for table in content["tables"]:
        lines += ["", f"## {table['title']}\n", markdown_table(table["header"], table["rows"]), table["note"]]
    lines += ["", *(f"- {f['status']}: {f['trial']}: {f['error']}" for f in content["failures"])]
    return "\n".join(lines).rstrip() + "\n"
