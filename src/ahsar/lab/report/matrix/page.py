"""The page of a matrix: its numbers as sentences, tables and a picture, in HTML and Markdown."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.arms.names import number_of
from ahsar.lab.report.comparison.summary import plain, summarise
from ahsar.lab.report.matrix import forest
from ahsar.lab.report.matrix.numbers import combined
from ahsar.lab.report.page import picture, render
from ahsar.lab.report.text import arm_name, markdown_table, mean_gap, mean_ratio, signed, speedup, times
from ahsar.lab.results import stats
from ahsar.lab.results.matrix import about_of
from ahsar.lab.results.records import read

NOTE = (
    "Speed-ups are AHSAR's against the opponent, above 1 is faster; ≥ and ≤ are bounds, where one of the two never reached "
    "the target. W/T/L: cells in which AHSAR was faster, level or slower; after Holm, those of them that are so with 95 % "
    "confidence, corrected for the number of cells. Means over cells are geometric (gaps: arithmetic), their 95 % intervals "
    "resample cells. A final test is level within 0.01."
)
CELLS_NOTE = (
    "Reached: baseline, AHSAR, of so many. Against the baseline where nothing else is said; the best constant scale of the "
    "grid is picked after the fact and stands in parentheses. OOD: mean accuracy under corruptions, scales frozen."
)
OOD = {
    "frozen": "AHSAR with its scales frozen",
    "continual": "AHSAR adapting to the test batches",
    "batch_norm": "the adapting rival, the baseline with the batch norm statistics of each test batch",
}
OVER = (
    *("opponent", "cells", "speed-up in steps", "p (Holm)", "in seconds", "final test, gap", "rate", "W/T/L"),
    *("after Holm", "final test W/T/L"),
)
CELLS = (*("cell", "reached", "speed-up", "in seconds", "against the best constant", "final test", "gap", "rate", "OOD gap"),)


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
    return plain({"matrix": about["name"], "quick": about["quick"], "missing": missing, **_numbers(ran)})


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


def _numbers(ran: dict[str, Path]) -> dict[str, Any]:
    """Of results folders by cell."""
    files = {cell: folder / "robustness.json" for cell, folder in ran.items()}
    robust = {cell: json.loads(file.read_text(encoding="utf-8")) for cell, file in files.items() if file.exists()}
    return combined({cell: summarise(read(folder)) for cell, folder in ran.items()}, robust)


def _write(out: Path, stem: str, numbers: dict[str, Any], title: str, first: dict[str, str], versions: dict[str, str]) -> Path:
    content = _content(numbers, title, {**first, "cells": ", ".join(numbers["cells"]), **versions})
    drawn = forest.draw(numbers, out / f"{stem}.png")
    write_whole(out / f"{stem}.json", json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / f"{stem}.md", _markdown(content))
    return write_whole(out / f"{stem}.html", render({**content, "figures": [{**picture(drawn), "name": "matrix"}]}))


def _title(opponent: str) -> str:
    return "best constant scale" if opponent == "constant" else arm_name(opponent)


def _content(numbers: dict[str, Any], title: str, facts: dict[str, str]) -> dict[str, Any]:
    """What the template shows."""
    rivals = [key for key in numbers["opponents"] if key not in ("baseline", "constant")]
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
            "rows": [_row(name, cell) for name, cell in numbers["cells"].items()],
            "note": CELLS_NOTE,
        },
    ]
    if rivals:
        rows = [
            [name, *(speedup(c["against"][key]["speedup"]) if key in c["against"] else "" for key in rivals)]
            for name, c in numbers["cells"].items()
            if any(key in c["against"] for key in rivals)
        ]
        header = ["cell", *map(_title, rivals)]
        tables.append({"title": "AHSAR's speed-up in steps against each rival", "header": header, "rows": rows, "note": ""})
    return {
        "title": title,
        "headline": headline(numbers),
        "tables": tables,
        "findings": findings(numbers),
        "failures": [failure for cell in numbers["cells"].values() for failure in cell["failures"]],
        "facts": facts,
    }


def opponent_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Cells of the table of opponents, under `OVER`."""
    return [
        [
            _title(key),
            str(row["n"]),
            mean_ratio(row["steps"]),
            f"{row['steps']['p_holm']:.2g}",
            mean_ratio(row["seconds"]),
            mean_gap(row["final_test_difference"]),
            times(row["rate"]["mean"]) if row["rate"]["mean"] else "–",
            "/".join(map(str, row["wins_ties_losses"])),
            "/".join(map(str, row["after_holm"])),
            "/".join(map(str, row["final_wins_ties_losses"])),
        ]
        for key, row in numbers["opponents"].items()
    ]


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    base, ours = cell["arms"].get("baseline"), cell["arms"].get("ahsar")
    against = cell["against"].get("baseline")
    if not base or not ours or not against:
        return [name, *["–"] * 8]
    constant = cell["against"].get("constant")
    scale = number_of(cell["best_constant"] or "")
    return [
        name,
        f"{base['reached']}, {ours['reached']} of {ours['n']}",
        speedup(against["speedup"]),
        speedup(against["seconds_speedup"]),
        f"{speedup(constant['speedup'])} ({scale})" if constant else "–",
        " → ".join("–" if (final := row["final_test"]["mean"]) is None else f"{final:.3f}" for row in (base, ours)),
        mean_gap({"mean": against["final_test_difference"]["mean"]}),
        times(against["pareto"]["mean_rate"]) if (against["pareto"] or {}).get("mean_rate") else "–",
        signed(cell["ood"]["frozen"]) if cell["ood"] else "–",
    ]


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
    for key, row in numbers["opponents"].items():
        sure = row["steps"]["p_holm"] <= 0.05
        ratio = row["steps"]["mean"]
        verdict = "not shown to differ" if not sure else "faster" if ratio and ratio > 1 else "slower"
        said.append(
            f"Against {_title(key)}, {row['n']} cell{'s' * (row['n'] != 1)}: {mean_ratio(row['steps'])} in steps ({verdict}; "
            f"Holm over opponents, p = {row['steps']['p_holm']:.2g}), final test {mean_gap(row['final_test_difference'])}, "
            f"{times(row['rate']['mean']) if row['rate']['mean'] else '–'} its firing rate."
        )
    for key, text in OOD.items():
        got = numbers["ood"][key]
        if got["n"]:
            said.append(
                f"Under corruptions, over {got['n']} cells, {text}: {mean_gap(got['difference'])} in accuracy against the "
                f"baseline; better, level (within 0.01) and worse in {'/'.join(map(str, got['wins_ties_losses']))}."
            )
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
