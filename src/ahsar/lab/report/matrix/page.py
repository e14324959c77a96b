"""The page of a matrix: its numbers as sentences, tables and a picture, in HTML and Markdown."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.report.comparison.summary import plain, summarise
from ahsar.lab.report.matrix import forest
from ahsar.lab.report.matrix.numbers import combined
from ahsar.lab.report.matrix.tables import (
    CELLS,
    CELLS_NOTE,
    LEVELS,
    LEVELS_NOTE,
    NO_RIVALS,
    NOTE,
    OVER,
    cell_row,
    level_rows,
    opponent_rows,
    title_of,
)
from ahsar.lab.report.page import picture, render
from ahsar.lab.report.text import markdown_table, mean_gap, mean_ratio, speedup, times
from ahsar.lab.results import stats
from ahsar.lab.results.matrix import about_of
from ahsar.lab.results.records import read

OOD = {
    "frozen": "AHSAR with its scales frozen",
    "continual": "AHSAR adapting to the test batches",
    "batch_norm": "the adapting rival, the baseline with the batch norm statistics of each test batch",
    "norm+episodic": "AHSAR with those statistics, and scales that adapt to each batch by itself",
    "norm+continual": "AHSAR with those statistics, and scales that adapt on and on",
}


def write(out: Path) -> Path:
    """Write matrix.json, matrix.md, matrix.png and matrix.html into `out` from the cells that ran; returns the page's path.

    Raises:
        ResultsError: `out` holds no matrix, or none of its cells has run.
    """
    about = about_of(out)
    title = f"Matrix {about['name']} ({'quick' if about['quick'] else 'full'} budget)"
    return _write(out, "matrix", collect(out), title, {"command": about["command"]}, about["versions"])


def collect(out: Path) -> dict[str, Any]:
    """The numbers of matrix.json, from the trials and robustness.json of every cell that ran; raises as `write`."""
    about = about_of(out)
    ran = {cell: out / cell for cell in about["cells"] if _has_run(out / cell)}
    if not ran:
        raise ResultsError(
            f"{out}: none of its {len(about['cells'])} cells has run: run `ahsar compare {about['name']}` with this --out"
        )
    missing = [cell for cell in about["cells"] if cell not in ran]
    return plain(
        {"matrix": about["name"], "quick": about["quick"], "missing": missing, **_numbers(ran, about.get("one_constant"))}
    )


def combine(outs: Sequence[Path], into: Path) -> Path:
    """The same page over comparisons that were run one by one: combined.json, .md, .png and .html in the folder `into`.

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
    numbers = plain({"matrix": None, "quick": None, "missing": [], **_numbers(ran)})
    return _write(into, "combined", numbers, "AHSAR over several workloads", {}, {})


def _has_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("trials.jsonl", "trials.jsonl.gz"))


def _numbers(ran: dict[str, Path], one_constant: float | None = None) -> dict[str, Any]:
    """Of results folders by cell."""
    files = {cell: folder / "robustness.json" for cell, folder in ran.items()}
    robust = {cell: json.loads(file.read_text(encoding="utf-8")) for cell, file in files.items() if file.exists()}
    return combined({cell: summarise(read(folder)) for cell, folder in ran.items()}, robust, one_constant)


def _write(out: Path, stem: str, numbers: dict[str, Any], title: str, first: dict[str, str], versions: dict[str, str]) -> Path:
    content = _content(numbers, title, {**first, "cells": ", ".join(numbers["cells"]), **versions})
    drawn = forest.draw(numbers, out / f"{stem}.png")
    write_whole(out / f"{stem}.json", json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / f"{stem}.md", _markdown(content))
    return write_whole(out / f"{stem}.html", render({**content, "figures": [{**picture(drawn), "name": "matrix"}]}))


def _content(numbers: dict[str, Any], title: str, facts: dict[str, str]) -> dict[str, Any]:
    """What the template shows."""
    rivals = [key for key in numbers["opponents"] if key not in NO_RIVALS]
    tables = [
        {
            "title": "AHSAR against each opponent, over cells",
            "header": list(OVER),
            "rows": opponent_rows(numbers),
            "note": NOTE,
        },
        {
            "title": "Every cell",
            "header": list(CELLS),
            "rows": [cell_row(name, cell) for name, cell in numbers["cells"].items()],
            "note": CELLS_NOTE,
        },
    ]
    if numbers["levels"]:
        header = list(LEVELS)
        tables.insert(1, {"title": "Speed to four levels", "header": header, "rows": level_rows(numbers), "note": LEVELS_NOTE})
    if rivals:
        rows = [
            [name, *(speedup(c["against"][key]["speedup"]) if key in c["against"] else "" for key in rivals)]
            for name, c in numbers["cells"].items()
            if any(key in c["against"] for key in rivals)
        ]
        header = ["cell", *map(title_of, rivals)]
        tables.append({"title": "AHSAR's speed-up in steps against each rival", "header": header, "rows": rows, "note": ""})
    return {
        "title": title,
        "headline": headline(numbers),
        "tables": tables,
        "findings": findings(numbers),
        "failures": [failure for cell in numbers["cells"].values() for failure in cell["failures"]],
        "facts": facts,
    }


def headline(numbers: dict[str, Any]) -> str:
    """The one sentence on top: against the baseline, over all cells."""
    row = numbers["opponents"].get("baseline")
    if row is None:
        return "No cell holds both AHSAR and the baseline."
    win, tie, loss = row["wins_ties_losses"]
    sure = row["after_holm"]
    return (
        f"Over {row['n']} cells AHSAR reached the target {mean_ratio(row['steps'])} as fast as the baseline in steps and "
        f"{mean_ratio(row['seconds'])} in seconds (geometric means): faster in {win}, level in {tie}, slower in {loss}; "
        f"after Holm's correction {sure[0]} of these wins and {sure[2]} of these losses stand by themselves."
    )


def findings(numbers: dict[str, Any]) -> list[str]:
    """One sentence for each opponent, for the final test, the price and what is missing."""
    said = []
    if numbers["never_learn"]:
        names = ", ".join(numbers["never_learn"])
        said.append(f"The baseline never learns in {len(numbers['never_learn'])} cells, which are counted apart: {names}.")
    if numbers["diverged"]:
        counts = ", ".join(f"{many} in {name}" for name, many in numbers["diverged"].items())
        said.append(f"Trials that diverged, which count as never reaching a level and have no final test: {counts}.")
    for key, row in numbers["opponents"].items():
        sure = row["steps"]["p_holm"] <= 0.05
        ratio = row["steps"]["mean"]
        verdict = "not shown to differ" if not sure else "faster" if ratio and ratio > 1 else "slower"
        said.append(
            f"Against {title_of(key)}, {row['n']} cell{'s' * (row['n'] != 1)}: {mean_ratio(row['steps'])} in steps ({verdict}; "
            f"Holm over opponents, p = {row['steps']['p_holm']:.2g}), final test {mean_gap(row['final_test_difference'])}, "
            f"{times(row['rate']['mean']) if row['rate']['mean'] else '–'} its firing rate."
        )
    for key, text in OOD.items():
        got = numbers["ood"].get(key)
        if got and got["n"]:
            said.append(
                f"Under corruptions, over {got['n']} cells, {text}: {mean_gap(got['difference'])} in accuracy against the "
                f"baseline; better, level (within 0.01) and worse in {'/'.join(map(str, got['wins_ties_losses']))}."
            )
            if "above_batch_norm" in got:
                said[-1] += f" Against the adapting rival: {mean_gap(got['above_batch_norm'])}."
    pairs = min((len(cell["seeds"]) for cell in numbers["cells"].values()), default=0)
    if pairs <= stats.FEWEST_PAIRS:
        needed = stats.FEWEST_PAIRS + 1
        said.append(f"With {pairs} pairs no cell has a verdict of its own (that takes {needed}): intervals are over cells.")
    checked = [cell["attached_identical"] for cell in numbers["cells"].values() if cell["attached_identical"]]
    if checked:
        same, total = sum(c["identical"] for c in checked), sum(c["n"] for c in checked)
        verdict = "Check passed" if same == total else "CHECK FAILED"
        said.append(f"{verdict}: with all scales held at 1, {same} of {total} trials equal the baseline bit for bit.")
    if numbers["missing"]:
        said.append(f"Not run yet: {', '.join(numbers['missing'])}.")
    return said


def _markdown(content: dict[str, Any]) -> str:
    lines = [f"# {content['title']}\n", content["headline"] + "\n", *(f"- {text}" for text in content["findings"])]
    for table in content["tables"]:
        lines += ["", f"## {table['title']}\n", markdown_table(table["header"], table["rows"]), table["note"]]
    lines += ["", *(f"- {f['status']}: {f['trial']}: {f['error']}" for f in content["failures"])]
    return "\n".join(lines).rstrip() + "\n"
