"""One self-contained page per comparison, and one over several: everything inline, nothing fetched."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.report.comparison.figures import draw
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.comparison.tables import (
    NOTE,
    PRICE,
    PRICE_NOTE,
    Summary,
    grid_rows,
    header,
    price_rows,
    rows,
    speedup_words,
    target_words,
    times,
)
from ahsar.lab.report.comparison.words import findings, headline
from ahsar.lab.report.page import picture, render
from ahsar.lab.results import stats
from ahsar.lab.results.records import is_rival, read


def write(out: Path) -> Path:
    """Write summary.json, the pictures and report.html into `out` from its trials.jsonl; returns the page's path.

    Every file is replaced whole, and none is touched before all are made. Raises ResultsError as `records.read` does.
    """
    out = Path(out)
    records = read(out)
    summary = summarise(records)
    with tempfile.TemporaryDirectory(dir=out, prefix=".report.") as scratch:
        pictures = draw(records, Path(scratch))
        page = render(_content(summary, pictures))
        (out / "scales.png").unlink(missing_ok=True)  # the one picture that not every comparison has
        for picture in pictures:
            os.replace(picture, out / picture.name)
    write_whole(out / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return write_whole(out / "report.html", page)


def combine(outs: Sequence[Path], into: Path) -> Path:
    """Compare AHSAR with the baseline over several workloads: combined.json and combined.html in the folder `into`.

    The p-values are corrected by Holm over the workloads that have one; the geometric mean is over those that have a
    speed-up. Returns the page's path. Raises ResultsError if a folder is unusable or a workload comes twice.
    """
    summaries: dict[str, Summary] = {}
    for out in outs:
        summary = summarise(read(Path(out)))
        name = summary["workload"] + (" (quick)" if summary["quick"] else "")
        if name in summaries:
            raise ResultsError(f"{out}: holds {name} again: give one folder per workload")
        summaries[name] = summary
    if not summaries:
        raise ResultsError("there is nothing to combine: give at least one --out folder")
    combined = _combined(summaries)
    write_whole(Path(into) / "combined.json", json.dumps(combined, indent=2, ensure_ascii=False) + "\n")
    return write_whole(Path(into) / "combined.html", render(_combined_content(combined, summaries)))


def _combined(summaries: dict[str, Summary]) -> dict[str, Any]:
    """The layout of combined.json."""
    found: dict[str, dict[str, Any]] = {}
    for name, summary in summaries.items():
        arm = summary["arms"].get("ahsar") or {}
        rival = summary["against"].get("constant") or {}
        found[name] = {
            **{key: summary[key] for key in ("workload_hash", "metric", "target", "budget", "seeds", "failures")},
            **{key: arm.get(key) for key in ("speedup", "seconds_speedup", "final_test_difference", "pareto")},
            "against_constant": rival.get("speedup"),
        }
    p = {name: row["speedup"]["p_value"] for name, row in found.items() if row["speedup"]}
    adjusted = stats.holm({name: value for name, value in p.items() if value is not None})
    for name, row in found.items():
        row["p_holm"] = adjusted.get(name)
        row["faster"] = bool(row["speedup"] and row["speedup"]["faster"] and adjusted.get(name, 1.0) <= 0.05)
    ratios = [row["speedup"]["median"] for row in found.values() if row["speedup"] and row["speedup"]["median"]]
    mean = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
    faster = sum(row["faster"] for row in found.values())
    return {
        "schema": 1,
        "workloads": found,
        "n": len(found),
        "n_faster": faster,
        "n_with_speedup": len(ratios),
        "geometric_mean_speedup": mean,
    }


def _combined_content(combined: dict[str, Any], summaries: dict[str, Summary]) -> dict[str, Any]:
    titles = ["workload", "speed-up", "p (Holm)", "in seconds", "gap", "rate", "against the best constant", "faster"]
    cells = []
    for name, row in combined["workloads"].items():
        gap, price, p = (row["final_test_difference"] or {}).get("mean"), row["pareto"] or {}, row["p_holm"]
        cells.append(
            [
                name,
                speedup_words(row["speedup"]),
                "–" if p is None else f"{p:.3g}",
                speedup_words(row["seconds_speedup"]),
                "–" if gap is None else f"{gap:+.3f}",
                times(price["mean_rate"]) if price.get("mean_rate") else "–",
                speedup_words(row["against_constant"]),
                "yes" if row["faster"] else "no",
            ]
        )
    number, mean = combined["n"], combined["geometric_mean_speedup"]
    said = f"AHSAR is faster than the baseline on {combined['n_faster']} of {number} workload{'s' * (number != 1)}."
    if mean is not None:
        over = "all of them" if combined["n_with_speedup"] == number else f"the {combined['n_with_speedup']} that have one"
        said += f" The geometric mean of its speed-ups is {times(mean)}, over {over}."
    note = "✓ is the verdict of one workload by itself; the last column corrects for looking at all of them (Holm)."
    return {
        "title": "AHSAR over several workloads",
        "headline": said,
        "tables": [{"title": "All workloads", "header": titles, "rows": cells, "note": note}],
        "findings": [f"{name}: {headline(summary)}" for name, summary in summaries.items()],
        "failures": [f for summary in summaries.values() for f in summary["failures"]],
        "facts": {name: f"hash {s['workload_hash']}, {_command(s)}" for name, s in summaries.items()},
        "figures": [],
    }


def _content(summary: Summary, pictures: Sequence[Path]) -> dict[str, Any]:
    """What the template shows of one comparison."""
    name = summary["workload"] + (" (quick)" if summary["quick"] else "")
    tables = [{"title": "The arms", "header": header(summary), "rows": rows(summary), "note": NOTE}]
    if len(summary["constant_grid"]) > 1:
        cells = grid_rows(summary)
        tables.append({"title": "Every constant scale", "header": header(summary), "rows": cells, "note": ""})
    tables.append({"title": "What it costs", "header": PRICE, "rows": price_rows(summary), "note": PRICE_NOTE})
    seeds = summary["seeds"]
    facts = {
        "workload": f"{name}, hash {summary['workload_hash']}",
        "goal": target_words(summary),
        "seeds": ", ".join(map(str, seeds)),
        "margin": f"{summary['margin']:g} {summary['metric']}",
        "command": _command(summary),
        "device": f"{summary['device'] or 'unknown'}, {summary['threads'] or 'unknown number of'} threads per trial",
        **summary["versions"],
    }
    finished = any(row["n"] for row in (*summary["arms"].values(), *summary["constant_grid"]))
    return {
        "title": f"AHSAR on {name}",
        "headline": headline(summary),
        "findings": findings(summary),
        "tables": tables,
        "figures": [picture(path) for path in pictures] if finished else [],
        "failures": summary["failures"],
        "facts": facts,
    }


def _command(summary: Summary) -> str:
    """The command that repeats this comparison."""
    arms = [arm for arm in ("baseline", "ahsar", "attached", "constant", "shuffled") if arm in summary["arms"]]
    if summary["constant_grid"] and "constant" not in arms:
        arms.append("constant")
    placebos = len(arms)
    arms += [arm for arm in summary["arms"] if is_rival(arm)]
    chosen = "" if placebos == len(arms) == 5 else f" --arms {','.join(arms)}"
    quick = " --quick" if summary["quick"] else ""
    return f"ahsar compare {summary['workload']} --seeds {len(summary['seeds'])}{quick}{chosen}"
