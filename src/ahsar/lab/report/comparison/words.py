"""What the numbers say, in sentences: wins, losses and doubts alike, each computed from the summary."""

from collections import Counter
from typing import Any

from ahsar.lab.arms.names import kind_of, number_of
from ahsar.lab.report.comparison.tables import Summary, target_words
from ahsar.lab.report.text import in_words, ratio, signed, times
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT

Row = dict[str, Any]
FEWEST = 5  # pairs from which an interval decides


def headline(summary: Summary) -> str:
    """One or two sentences on the question of the comparison: does AHSAR reach the target sooner?"""
    baseline, ahsar = summary["arms"].get("baseline"), summary["arms"].get("ahsar")
    if not any(row["n"] for row in (*summary["arms"].values(), *summary["constant_grid"])):
        return "Every trial failed, so there is nothing to compare: see the errors below."
    if not baseline or not ahsar or not baseline["n"] or not ahsar["n"]:
        return "There is no finished trial of both the baseline and AHSAR, so no speed-up can be stated."
    speedup = ahsar["speedup"]
    if speedup is None:
        return "The baseline and AHSAR have no seed in common, so no speed-up can be stated."
    goal, seen = target_words(summary), f"{speedup['n']} pair{'s' * (speedup['n'] != 1)}"
    if speedup["median"] is None:
        return f"Neither the baseline nor AHSAR reached {goal} in any of {seen}, so no speed-up can be stated."
    size = _size(speedup)
    if speedup["faster"]:
        text = f"AHSAR reached {goal} {size} as fast as the baseline ({_interval(speedup)}, {seen})."
    elif speedup["ci95"] is None:
        text = f"Nothing can be said yet: AHSAR reached {goal} {size} as fast as the baseline, but in only {seen}."
    elif speedup["n"] < FEWEST and not speedup["ci95"][0] <= 1 <= speedup["ci95"][1]:
        text = f"Nothing is certain yet: AHSAR reached {goal} {size} as fast as the baseline, but in only {seen}."
    elif speedup["ci95"][0] > 1:
        text = (
            f"AHSAR reached {goal} {size} as fast as the baseline ({_interval(speedup)}, {seen}), but we do not call it "
            f"faster: {_withheld(summary, ahsar)}."
        )
    elif speedup["ci95"][1] < 1:
        text = f"AHSAR was slower: it reached {goal} only {size} as fast as the baseline ({_interval(speedup)}, {seen})."
    elif speedup["ci95"][0] == speedup["ci95"][1] == 1:
        text = f"AHSAR is not faster: it reached {goal} at the very same steps as the baseline ({seen})."
    else:
        text = (
            f"AHSAR is not shown to be faster: it reached {goal} {size} as fast as the baseline, but the interval "
            f"includes 1 ({_interval(speedup)}, {seen})."
        )
    ours, theirs = speedup["reached_controlled"], speedup["reached_baseline"]
    if min(ours, theirs) < speedup["n"]:
        text += f" It reached the target in {ours} of {speedup['n']} pairs, the baseline in {theirs or 'none'}."
    return text


def _withheld(summary: Summary, ahsar: Row) -> str:
    """Why a speed-up whose interval lies above 1 is not called faster."""
    ours, theirs = ahsar["final_test_difference"]["diverged"]
    if ours > theirs:
        return f"{ours} of its trials diverged, of the baseline's {theirs or 'none'}"
    return f"its final test {summary['metric']} is worse by more than the margin of {summary['margin']:g}"


def findings(summary: Summary) -> list[str]:
    """What belongs beside the headline: other levels, the clock, the final metric, the price, the rivals, the checks."""
    ahsar, baseline = summary["arms"].get("ahsar"), summary["arms"].get("baseline")
    said: list[str] = []
    if ahsar and baseline and ahsar["speedup"]:
        said += [_levels(summary, ahsar), _clock(ahsar), _final(summary, ahsar, baseline), _price(ahsar, baseline)]
        said += [_rival(summary, name) for name in summary["against"]]
    return [text for text in (*said, _check(summary), _diverged(summary), _failures(summary)) if text]


def _levels(summary: Summary, ahsar: Row) -> str:
    known, speed = summary["levels"], ahsar["level_speed"]
    if known and not known["learned"]:
        return (
            f"The baseline did not learn: its mean validation {summary['metric']} was {known['untrained']:.3f} before training "
            f"and {known['best']:.3f} at best. A speed-up against it says that AHSAR learned, not how fast."
        )
    if not known or not speed:
        return ""
    levels = known["values"]
    many = f"{len(levels)} level{'s' * (len(levels) != 1)}, {summary['metric']} {levels[0]:.3f} to {levels[-1]:.3f}"
    low, high = (speed["ci95"] if speed["n"] >= FEWEST else None) or (0.0, 2.0)
    verdict = "slower" if high < 1 else "not told apart" if low <= 1 else "sooner, but not called faster"
    bound = {"≥": "at least ", "≤": "at most ", "≈": "about "}.get(speed["bound"], "")
    return (
        f"Along the baseline's own curve ({many}) it was {bound}{times(speed['mean'])} as fast ({_interval(speed)}; "
        f"{'faster' if speed['faster'] else verdict})."
    )


def _clock(ahsar: Row) -> str:
    speedup, cost = ahsar["seconds_speedup"], ahsar["seconds_per_step_ratio"]
    if speedup is None or speedup["median"] is None:
        return ""
    per_step = "" if cost is None else f" One of its steps took {times(cost)} the baseline's time."
    verdict = {"faster": "is faster", "sooner": "is sooner there", "slower": "is slower"}.get(_verdict(speedup))
    verdict = verdict or "is not shown to be faster"
    return f"On the clock, evaluation left out, it {verdict}: {_size(speedup)} ({_interval(speedup)}).{per_step}"


def _final(summary: Summary, ahsar: Row, baseline: Row) -> str:
    gap = ahsar["final_test_difference"]
    if gap is None or gap["mean"] is None:
        return ""  # no pair has both
    spread = in_words(gap["ci95"], signed, ", ")
    text = (
        f"Final test {summary['metric']}: {ahsar['final_test']['mean']:.3f} against the baseline's "
        f"{baseline['final_test']['mean']:.3f} (difference {gap['mean']:+.3f}{spread})."
    )
    if not gap["within_margin"]:
        text += f" That is worse by more than the margin of {summary['margin']:g}."
    elif not gap["settled"] and gap["ci95"]:
        text += f" A loss of more than the margin of {summary['margin']:g} is not ruled out."
    return text


def _price(ahsar: Row, baseline: Row) -> str:
    price = ahsar["pareto"] or {}
    if not price.get("mean_rate"):
        return ""
    more = "costs more spikes" if price["mean_rate"] > 1.05 else "spares spikes" if price["mean_rate"] < 0.95 else ""
    rates = f"mean rate {ahsar['mean_rate']:.3f} against {baseline['mean_rate']:.3f} ({times(price['mean_rate'])}"
    acs = f"; {times(price['acs'])} the additions" if price.get("acs") else ""
    energy = f"; {times(price['energy_proxy'])} the energy proxy" if price.get("energy_proxy") else ""
    return f"It {more or 'spikes about as much'}: {rates}{acs}{energy})."


def _rival(summary: Summary, name: str) -> str:
    row = summary["against"][name]
    speedup, gap = row["speedup"], row["final_test_difference"]
    rival = _rival_name(summary, name)
    if speedup is None:
        return ""
    if speedup["median"] is None:
        return f"Against {rival}: neither reached the target."
    low, high = (gap or {}).get("ci95") or (0.0, 0.0)
    if not summary["higher_is_better"]:
        low, high = -high, -low
    end = "better" if low > 0 else "worse" if high < 0 else ""
    end = f" Its final test {summary['metric']} is {end}." if end else ""
    size = f"{_size(speedup)} as fast ({_interval(speedup)})"
    verdict = _verdict(speedup)
    if verdict == "faster":
        return f"AHSAR beat {rival}: {size}.{end}"
    if verdict == "sooner":
        return f"AHSAR reached the target sooner than {rival}: {size}.{end}"
    if verdict == "slower":
        return f"{_capital(rival)} beat AHSAR, which was {size}.{end}"
    if speedup["median"] < 1:
        return f"{_capital(rival)} did as well or better: AHSAR was {size}.{end}"
    return f"AHSAR is not shown to beat {rival}: it was {size}.{end}"


def _rival_name(summary: Summary, name: str) -> str:
    """An opponent in words, with what its number was chosen by."""
    tried = len(summary["constant_grid"])
    if name == BEST:
        picked = f", picked from {tried} after the fact" if tried > 1 else ""
        return f"the best constant scale ({summary['arms'][name]['scale']:g}{picked})"
    if name == LEFT_OUT:
        counts = Counter(summary["constants_chosen"].values())
        scales = ", ".join(f"{scale:g} for {counts[scale]}" for scale in sorted(counts))
        return f"the constant scale chosen for each seed on the others ({scales})"
    if name == FOR_ALL:
        return f"the one constant for all cells ({summary['arms'][name]['scale']:g})"
    if name == "shuffled":
        return "shuffled scales (each layer is given another's)"
    kind, number = kind_of(name), number_of(name)
    tried = sum(kind_of(arm) == kind for arm in summary["arms"])
    return f"{kind} ({number}{f', picked from {tried} after the fact' if tried > 1 else ''})"


def _check(summary: Summary) -> str:
    check = summary["attached_identical"]
    if check is None:
        return ""
    held = "attached with all scales held at 1, training"
    if check["identical"] == check["n"]:
        return f"Check passed: {held} equals the baseline bit for bit ({check['n']} of {check['n']} pairs)."
    seeds = ", ".join(map(str, check["different_seeds"]))
    return f"CHECK FAILED: {held} differs from the baseline (seeds {seeds}); do not trust this comparison."


def _diverged(summary: Summary) -> str:
    names = [lost["trial"] for lost in summary["failures"] if lost["status"] == "diverged"]
    if not names:
        return ""
    many = len(names) > 1
    return (
        f"{len(names)} trial{'s' * many} diverged, as a weight or a loss was not finite: {', '.join(names)}. "
        f"{'They count' if many else 'It counts'} as not reaching the target or any level, without a final test."
    )


def _failures(summary: Summary) -> str:
    number = sum(lost["status"] != "diverged" for lost in summary["failures"])
    if not number:
        return ""
    return f"{number} trial{'s' * (number > 1)} failed and left {'their pairs' if number > 1 else 'its pair'} out."


def _verdict(speedup: Row) -> str:
    """faster; sooner (at the target, but worse at the end); slower; or unclear."""
    low, high = speedup["ci95"] or (0.0, 2.0)
    if speedup["faster"]:
        return "faster"
    if speedup["n"] < FEWEST:
        return "unclear"
    return "sooner" if low > 1 else "slower" if high < 1 else "unclear"


def _size(speedup: Row) -> str:
    bound = "at least " if not speedup["reached_baseline"] else "at most " if not speedup["reached_controlled"] else ""
    return bound + times(speedup["median"])


def _interval(speedup: Row) -> str:
    return in_words(speedup["ci95"], ratio) or "too few pairs for an interval"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
