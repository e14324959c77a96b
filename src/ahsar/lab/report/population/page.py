"""The page of a population: its numbers as sentences, tables and pictures, in HTML and Markdown."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from ahsar.files import write_whole
from ahsar.lab.arms.names import kind_of
from ahsar.lab.report.comparison.summary import plain
from ahsar.lab.report.page import command_facts, drawn, render
from ahsar.lab.report.population import pictures, seen
from ahsar.lab.report.population.numbers import BASELINE, OURS, combined, net_of
from ahsar.lab.report.text import arm_name, interval, markdown_table, mean_gap, ratio, spread, times
from ahsar.lab.results.population import about_of, read

HEADER = (
    *("arm", "nets", "final test", "against the baseline", "against AHSAR", "failing", "better : worse"),
    *("regret", "worst", "rate", "operations", "lost"),
)
NOTE = (
    "Differences are means of the final test over nets, the arm's minus the other's in the same net, with 95 % intervals over "
    "nets (Student's t). Failing: below chance and 0.3 of what the best arm reaches above it, in nets that some arm brings 0.1 "
    "above it. Better : worse: nets where the arm ends at least 2 points above or below the baseline. Regret: the best arm's "
    "final test minus the arm's, mean and worst. Operations: those with two nonzero factors, a geometric mean of ratios to the "
    "baseline over nets that learn with both. A trial that diverged has no final test; it and those that failed with an error "
    "are counted in the last column alone."
)
READING = [
    "Every net is drawn from a frozen distribution, named by its hash; draw i is always the same net. It has one seed: equal "
    "initial weights, data order and evaluation steps in every arm. Nothing is tuned for it, as users do not tune first.",
    "Intervals are over nets, so they speak of nets like these. Of a single net, one seed says little.",
    "The best arm of a net is picked after the fact, and luck is part of it: no arm's regret can be 0 over many nets. Rivals "
    "ran in the first nets of a block only, if at all, and count among the arms there.",
    "The placebos: attached has all scales held at 1 and must equal the baseline bit for bit; shuffled gives each layer the "
    "scales of another; constant multiplies all thresholds by one number.",
    "Draws below the first of the verdict's block are there to develop on, so what is chosen on them is flattered by the "
    "choice. The verdict's are run once, when nothing is chosen any more.",
    "The test split is scored once, at the end of the budget.",
]


def write(out: Path) -> Path:
    """Write population.json, .md, .html and the pictures into `out` from the trials that ended; returns the page's path.

    Raises:
        ResultsError: `out` holds no population, or none of its draws has run.
    """
    about = about_of(out)
    numbers = collect(out)
    facts = {**command_facts(about), "population": f"{about['name']}, hash {about['hash']}", **about["versions"]}
    content = _content(numbers, facts)
    figures = [
        drawn(f"population-{name}", told(numbers), partial(draw, numbers), out / f"population-{name}.png")
        for name, draw, told in (
            ("scatter", pictures.scatter, seen.scatter),
            ("constants", pictures.constants, seen.constants),
            ("regret", pictures.regret, seen.regret),
        )
    ]
    write_whole(out / "population.json", json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / "population.md", _markdown(content))
    return write_whole(out / "population.html", render({**content, "figures": figures}))


def collect(out: Path) -> dict[str, Any]:
    """The numbers of population.json; raises as `write`."""
    about, records = about_of(out), read(out)
    nets = {name: net_of(about["draws"][name], rows) for name, rows in records.items()}
    first = {"population": about["name"], "hash": about["hash"], "verdict": about["verdict"], "drawn": len(about["draws"])}
    lost = [
        {"trial": f"{name} {row['trial']}", "status": row["status"], "error": row["error"]}
        for name, rows in records.items()
        for row in rows
        if row["status"] != "done"
    ]
    return plain({**first, **combined(nets), "failures": lost})


def _content(numbers: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """What the template shows."""
    every, kinds = "Every arm over the nets", "By kind of net"
    block = "for the verdict" if numbers["verdict"] else "for development"
    return {
        "title": f"Population {numbers['population']} (hash {numbers['hash']}), {len(numbers['nets'])} nets {block}",
        "headline": headline(numbers),
        "findings": findings(numbers),
        "tables": [
            {"title": every, "header": list(HEADER), "rows": arm_rows(numbers), "note": NOTE, "sorts": True},
            {"title": kinds, "header": _kinds_header(numbers), "rows": _kinds(numbers), "note": _KINDS_NOTE},
        ],
        "failures": numbers["failures"],
        "facts": facts,
        "reading": READING,
    }


def arm_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Cells of the table of arms, under `HEADER`."""
    return [
        [
            arm_name(arm),
            str(row["nets"]),
            spread(row["test"]),
            mean_gap(row["against_baseline"]),
            mean_gap(row["against_ahsar"]),
            str(row["failing"]),
            "–" if arm == BASELINE else f"{row['better']} : {row['worse']}",
            _number(row["regret"]["mean"]),
            _number(row["regret"]["worst"]),
            _number(row["rate"]),
            _operations(row),
            ", ".join(f"{row[kind]} {kind}" for kind in ("diverged", "failed") if row[kind]) or "–",
        ]
        for arm, row in numbers["arms"].items()
    ]


_KINDS_NOTE = "Mean final test of each arm that ran in all nets, by the block from which the network was drawn."


def _everywhere(numbers: dict[str, Any]) -> list[str]:
    return [arm for arm, row in numbers["arms"].items() if row["nets"] == len(numbers["nets"]) and arm != "attached"]


def _kinds_header(numbers: dict[str, Any]) -> list[str]:
    return ["network", "nets", *map(arm_name, _everywhere(numbers))]


def _kinds(numbers: dict[str, Any]) -> list[list[str]]:
    rows = []
    for kind in sorted({net["axes"]["model"] for net in numbers["nets"].values()}):
        mine = [net for net in numbers["nets"].values() if net["axes"]["model"] == kind]
        cells = []
        for arm in _everywhere(numbers):
            tests = [test for net in mine if (test := net["arms"][arm]["test"]) is not None]
            cells.append(_number(sum(tests) / len(tests) if tests else None))
        rows.append([kind, str(len(mine)), *cells])
    return rows


def headline(numbers: dict[str, Any]) -> str:
    """The one sentence on top: AHSAR and the baseline."""
    base, ours = numbers["arms"].get(BASELINE), numbers["arms"].get(OURS)
    if not base or not ours or ours["against_baseline"]["mean"] is None:
        return f"Over {_several(len(numbers['nets']), 'net')}: no net holds both AHSAR and the baseline."
    return (
        f"Over {ours['nets']} nets AHSAR ended at a mean test accuracy of {ours['test']['mean']:.3f}, the baseline at "
        f"{base['test']['mean']:.3f} (difference {mean_gap(ours['against_baseline'])}): better by 2 points in "
        f"{ours['better']}, worse in {ours['worse']}; {_several(ours['failing'], 'net')} failing with it, "
        f"{base['failing']} without."
    )


def findings(numbers: dict[str, Any]) -> list[str]:
    """One sentence for each opponent that matters, for regret, price and checks."""
    arms, said = numbers["arms"], []
    ours = arms.get(OURS)
    if ours and ours["regret"]["mean"] is not None:
        said.append(
            f"AHSAR's regret to the best arm of each net: {ours['regret']['mean']:.3f} on average, "
            f"{ours['regret']['worst']:.3f} at worst; its mean rate {_number(ours['rate'])}, its "
            f"operations {_operations(ours)} the baseline's."
        )
    best = numbers["best_constant"]
    if best is not None:
        row = arms[best]
        said.append(
            f"The best single constant over these nets, picked after the fact, is {arm_name(best).split()[1]}: mean test "
            f"{row['test']['mean']:.3f}, {_verdict(row)}, {row['failing']} failing, better : worse {row['better']} : "
            f"{row['worse']}, operations {_operations(row)}."
        )
    rivals = [arm for arm in arms if kind_of(arm) not in (BASELINE, OURS, "constant", "attached")]
    said += [f"{arm_name(arm)}, {_several(arms[arm]['nets'], 'net')}: {_verdict(arms[arm])}." for arm in rivals]
    checked = numbers["attached_identical"]
    if checked["n"]:
        same, total = checked["identical"], checked["n"]
        verdict = "Check passed" if same == total else "CHECK FAILED"
        said.append(f"{verdict}: with all scales held at 1, {same} of {total} nets equal the baseline bit for bit.")
    if numbers["unlearned"]:
        unlearned = _several(numbers["unlearned"], "net")
        said.append(f"In {unlearned} no arm gets 0.1 above chance: none fails there, all else counts them too.")
    diverged = sum(row["diverged"] for row in arms.values())
    if diverged:
        said.append(f"{_several(diverged, 'trial')} diverged: a weight or a loss was not finite. No final test counts there.")
    failed = sum(row["status"] == "failed" for row in numbers["failures"])
    if failed:
        said.append(f"{_several(failed, 'trial')} failed with an error, and left the net out of that arm's row.")
    if numbers["drawn"] > len(numbers["nets"]):
        said.append(f"Not run yet: {numbers['drawn'] - len(numbers['nets'])} of {numbers['drawn']} nets.")
    return said


def _verdict(row: dict[str, Any]) -> str:
    """How an arm stands against AHSAR, in words that the interval bears."""
    gap = row["against_ahsar"]
    if gap is None or gap["mean"] is None:
        return "no net in common with AHSAR"
    low, high = gap["ci95"] or (-1.0, 1.0)
    said = "below AHSAR" if high < 0 else "above AHSAR" if low > 0 else "not shown to differ from AHSAR"
    return f"{mean_gap(gap)} ({said})"


def _operations(row: dict[str, Any]) -> str:
    got = row["operations"]
    return "–" if got["mean"] is None else times(got["mean"]) + interval(got["ci95"], ratio, " [{}–{}]")


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _markdown(content: dict[str, Any]) -> str:
    lines = [f"# {content['title']}\n", content["headline"] + "\n", *(f"- {text}" for text in content["findings"])]
    for table in content["tables"]:
        lines += ["", f"## {table['title']}\n", markdown_table(table["header"], table["rows"]), table["note"]]
    lines += ["", "## How to read this\n", *(f"- {text}" for text in content["reading"])]
    lines += ["", *(f"- {lost['status']}: {lost['trial']}: {lost['error']}" for lost in content["failures"])]
    return "\n".join(lines).rstrip() + "\n"
