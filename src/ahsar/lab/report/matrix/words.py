"""What a matrix says, in sentences: wins, losses and doubts alike, each computed from its numbers."""

from ahsar.lab.report.matrix.numbers import LEVEL
from ahsar.lab.report.matrix.tables import Numbers, opponent_name
from ahsar.lab.report.text import arm_name, mean_gap, mean_ratio, signed, times
from ahsar.lab.results import stats
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT

OOD = {
    "frozen": "AHSAR with its scales frozen",
    "continual": "AHSAR adapting to the test batches",
    "batch_norm": "the adapting rival, the baseline with the batch norm statistics of each test batch",
    "norm": "AHSAR with those statistics, and the scales that it learned",
    "norm+episodic": "AHSAR with those statistics, and scales that adapt to each batch by itself",
    "norm+continual": "AHSAR with those statistics, and scales that adapt on and on",
}


def headline(numbers: Numbers) -> str:
    """What stands on top: against the baseline over all cells, without those that never learn, and against the constants."""
    row = numbers["opponents"].get("baseline")
    if row is None:
        return "No cell holds both AHSAR and the baseline."
    win, tie, loss = row["wins_ties_losses"]
    sure = row["after_holm"]
    text = (
        f"Over {row['n']} cells AHSAR reached the target {mean_ratio(row['steps'])} as fast as the baseline in steps and "
        f"{mean_ratio(row['seconds'])} in seconds (geometric means): faster in {win}, level in {tie}, slower in {loss}; "
        f"after Holm's correction {sure[0]} of these wins and {sure[2]} of these losses stand by themselves."
    )
    if numbers["never_learns"]:
        rest = row["learning"]
        text += f" In the {rest['n']} of them whose baseline learns it was {mean_ratio(rest['steps'])} as fast."
    return text + _constants(numbers)


def _constants(numbers: Numbers) -> str:
    """AHSAR against the constants, sorted by what their intervals say."""
    said: dict[str, list[str]] = {"slower than": [], "not shown to differ from": [], "faster than": []}
    for key in (BEST, LEFT_OUT, FOR_ALL):
        if key in numbers["opponents"]:
            steps = numbers["opponents"][key]["steps"]
            low, high = steps["ci95"] or (0.0, 2.0)
            verdict = "slower than" if high < 1 else "faster than" if low > 1 else "not shown to differ from"
            said[verdict].append(f"the {opponent_name(key, numbers)} ({mean_ratio(steps)})")
    parts = [f"{verdict} {' and '.join(names)}" for verdict, names in said.items() if names]
    return f" It was {'; '.join(parts)}." if parts else ""


def findings(numbers: Numbers) -> list[str]:
    """What belongs beside it: each opponent, the cells in which AHSAR lost, those that tell little, corruptions, checks."""
    said = [_opponent(key, numbers) for key in numbers["opponents"]]
    said += _losses(numbers)
    if numbers["never_learns"]:
        said.append(
            f"Counted apart, as their baseline never learns: {', '.join(numbers['never_learns'])}. There a speed-up says that "
            "AHSAR learned, not how fast."
        )
    said += _front(numbers)
    said += _lasting(numbers)
    said += _diverged(numbers)
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


def _opponent(key: str, numbers: Numbers) -> str:
    row = numbers["opponents"][key]
    sure, ratio = row["steps"]["p_holm"] <= 0.05, row["steps"]["mean"]
    verdict = "not shown to differ" if not sure else "faster" if ratio and ratio > 1 else "slower"
    return (
        f"Against {opponent_name(key, numbers)}, {row['n']} cell{'s' * (row['n'] != 1)}: {mean_ratio(row['steps'])} in steps "
        f"({verdict}; Holm over opponents, p = {row['steps']['p_holm']:.2g}), {mean_ratio(row['levels'])} to four levels "
        f"of the baseline's curve, final test {mean_gap(row['final_test_difference'])}, "
        f"{times(row['rate']['mean']) if row['rate']['mean'] else '–'} its firing rate."
    )


def _losses(numbers: Numbers) -> list[str]:
    """The cells in which AHSAR came to the target later than the baseline, and those in which it ended worse."""
    cells = {name: cell["against"]["baseline"] for name, cell in numbers["cells"].items() if "baseline" in cell["against"]}
    late = {name: ratio for name, c in cells.items() if (ratio := c["speedup"]["median"]) is not None and ratio < 1 / LEVEL}
    worse = {name: gap for name, c in cells.items() if (gap := c["final_test_difference"]["mean"]) is not None and gap < -0.01}
    said = []
    if late:
        names = ", ".join(f"{name} ({times(late[name])})" for name in sorted(late, key=lambda name: late[name]))
        said.append(f"Slower to the target than the baseline in {len(late)} of {len(cells)} cells: {names}.")
    if worse:
        names = ", ".join(f"{name} ({signed(worse[name])})" for name in sorted(worse, key=lambda name: worse[name]))
        said.append(f"Final test more than 0.01 below the baseline's in {len(worse)} of {len(cells)} cells: {names}.")
    return said


def _front(numbers: Numbers) -> list[str]:
    """What AHSAR pays, and who pays less for as much."""
    rows = numbers["front"]
    ours = rows.get("ahsar")
    if ours is None or len(rows) < 2:
        return []
    text = (
        f"Accuracy against synaptic operations, over {ours['n']} cells: AHSAR has {mean_ratio(ours['operations'])} the "
        f"baseline's operations at {mean_gap(ours['gap'])} in the final test"
    )
    if ours["on_front"]:
        return [text + ", which no other arm beats in both (it is on the front)."]
    above = [
        arm_name(arm)
        for arm, row in rows.items()
        if arm != "ahsar"
        and row["operations"]["mean"] <= ours["operations"]["mean"]
        and row["gap"]["mean"] >= ours["gap"]["mean"]
    ]
    return [text + f"; it lies behind {', '.join(above) or 'the baseline'}."]


def _lasting(numbers: Numbers) -> list[str]:
    leads = [
        lead
        for cell in numbers["cells"].values()
        if "baseline" in cell["against"] and (lead := cell["against"]["baseline"]["lead"])
    ]
    if not leads:
        return []
    ahead, behind = (sum(lead[side] for lead in leads) / len(leads) for side in ("ahead", "behind"))
    last = sum(lead["until"] == 1 for lead in leads)
    return [
        f"By a point of validation or more AHSAR lay ahead of the baseline for {100 * ahead:.0f} % of the training and behind "
        f"for {100 * behind:.0f} %, on average over cells; at the end it still led in {last} of {len(leads)}."
    ]


def _diverged(numbers: Numbers) -> list[str]:
    names = [
        f"{name} {lost['trial']}"
        for name, cell in numbers["cells"].items()
        for lost in cell["failures"]
        if lost["status"] == "diverged"
    ]
    if not names:
        return []
    return [f"Diverged, and so counted as never reaching a level, without a final test: {', '.join(names)}."]
