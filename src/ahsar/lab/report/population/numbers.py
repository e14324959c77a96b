"""What a population comes to in numbers: every net first, then every arm over the nets."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ahsar.lab.arms.names import constant_scale
from ahsar.lab.results import stats
from ahsar.lab.results.records import Record, rank
from ahsar.lab.results.schema import ENDED

SCHEMA = 1
POINTS = 0.02  # of test accuracy: what counts as better or worse
FAILING = 0.3  # of what the best arm reaches above chance: an arm below this has failed in that net
LEARNED = 0.1  # above chance: a net in which no arm gets so far says nothing of failing, and is counted apart
FEWEST = 5  # nets that an interval takes: of fewer it says more than they do
BASELINE, OURS = "baseline", "ahsar"
Net = dict[str, Any]


def net_of(draw: Mapping[str, Any], records: Sequence[Record]) -> Net:
    """One net: its properties, and of every arm that ended its final test, rate, operations and regret.

    An arm that diverged has no final test; it is neither the best nor failing. In a net that no arm trains none fails.

    Args:
        draw: `axes`, `classes` and `workload`, as `population-about.json` holds them.
    """
    ended = {record["arm"]: record for record in records if record["status"] in ENDED}
    done = {arm: record for arm, record in ended.items() if record["status"] == "done"}
    chance = 1 / draw["classes"]
    best = max((record["final_test"] for record in done.values()), default=None)
    learned = best is not None and best >= chance + LEARNED - 1e-9
    rows: dict[str, dict[str, Any]] = {}
    for arm in sorted(ended, key=rank):
        record = ended[arm]
        row: dict[str, Any] = {"status": record["status"], "test": None, "rate": None, "operations": None}
        if arm in done and best is not None:
            test = record["final_test"]
            row |= {"test": test, "rate": record["mean_rate"], "operations": _operations(record)}
            row |= {"regret": best - test, "failing": learned and test < chance + FAILING * (best - chance)}
        rows[arm] = row
    return {
        "axes": draw["axes"],
        "chance": chance,
        "best": best,
        "learned": learned,
        **_properties(draw["workload"], ended.get(BASELINE)),
        "arms": rows,
        "right_constant": _right_constant(rows),
        "attached_identical": _identical(done),
        "failed": sorted(record["arm"] for record in records if record["status"] not in ENDED),
    }


def combined(nets: Mapping[str, Net]) -> dict[str, Any]:
    """Numbers of every arm over the nets, and of the nets together."""
    arms = sorted({arm for net in nets.values() for arm in net["arms"]}, key=rank)
    rows = {arm: _arm(arm, list(nets.values())) for arm in arms}
    compared = [net["attached_identical"] for net in nets.values() if net["attached_identical"] is not None]
    constants = Counter(net["right_constant"] for net in nets.values() if net["right_constant"] is not None)
    everywhere = [arm for arm in arms if constant_scale(arm) is not None and rows[arm]["nets"] == len(nets)]
    return {
        "schema": SCHEMA,
        "arms": rows,
        "best_constant": max(everywhere, key=lambda arm: rows[arm]["test"]["mean"], default=None),
        "right_constants": {f"{scale:g}": constants[scale] for scale in sorted(constants)},
        "attached_identical": {"n": len(compared), "identical": sum(compared)},
        "unlearned": sum(not net["learned"] for net in nets.values()),
        "nets": dict(nets),
    }


def _arm(arm: str, nets: Sequence[Net]) -> dict[str, Any]:
    """One arm over the nets in which it ended; differences are its final test minus the other's, where both are known."""
    mine = [net["arms"][arm] for net in nets if arm in net["arms"]]
    done = [row for row in mine if row["test"] is not None]
    gaps = _gaps(nets, arm, BASELINE)
    regrets = [row["regret"] for row in done]
    return {
        "nets": len(mine),
        "diverged": sum(row["status"] == "diverged" for row in mine),
        "failed": sum(arm in net["failed"] for net in nets),
        "test": _mean_interval([row["test"] for row in done]),
        "against_baseline": None if arm == BASELINE else _difference(gaps),
        "against_ahsar": None if arm == OURS else _difference(_gaps(nets, arm, OURS)),
        "failing": sum(row["failing"] for row in done),
        "better": sum(gap >= POINTS - 1e-9 for gap in gaps),
        "worse": sum(gap <= 1e-9 - POINTS for gap in gaps),
        "regret": {"mean": _mean(regrets), "worst": max(regrets, default=None)},
        "rate": _mean([row["rate"] for row in done if row["rate"] is not None]),
        "operations": _operations_ratio(nets, arm),
    }


def _gaps(nets: Sequence[Net], arm: str, other: str) -> list[float]:
    """Final test of one arm minus that of another, in the nets in which both have one."""
    pairs = [(net["arms"].get(arm), net["arms"].get(other)) for net in nets]
    return [a["test"] - b["test"] for a, b in pairs if a and b and a["test"] is not None and b["test"] is not None]


def _difference(gaps: Sequence[float]) -> dict[str, Any]:
    return {"n": len(gaps), **_mean_interval(gaps)}


def _mean_interval(values: Sequence[float]) -> dict[str, Any]:
    got = stats.mean_interval(values).to_dict()
    return got if len(values) >= FEWEST else {**got, "ci95": None}


def _operations_ratio(nets: Sequence[Net], arm: str) -> dict[str, Any]:
    """Geometric mean of the arm's operations over the baseline's, in nets that learn with both: a net that is silent costs
    nothing and does nothing."""
    pairs = [(net["arms"].get(arm), net["arms"].get(BASELINE)) for net in nets if net["learned"]]
    ratios = [
        a["operations"] / b["operations"]
        for a, b in pairs
        if a and b and a["operations"] and b["operations"] and not (a["failing"] or b["failing"])
    ]
    got = stats.geometric_mean(ratios)
    return {"n": got.n, "mean": got.estimate, "ci95": (got.low, got.high) if got.n >= FEWEST else None}


def _operations(record: Record) -> float | None:
    """Synaptic operations of one sample with two nonzero factors: those that spikes cause, and those of the samples."""
    counted = record.get("synops")
    return counted["effective_acs"] + counted["effective_macs"] if counted else None


def _properties(workload: Mapping[str, Any], baseline: Record | None) -> dict[str, Any]:
    """What a net is like: fields of its workload, and its layers and rate before training as the baseline has them."""
    model = workload["model"]
    rates = list(baseline["curve"][0]["rates"].values()) if baseline and baseline["curve"] else []
    known = [rate for rate in rates if rate is not None and math.isfinite(rate)]
    return {
        "model": model["name"],
        "threshold": model["threshold"],
        "gain": model["gain"],
        "batch_norm": model["batch_norm"],
        "lr": workload["optimizer"]["lr"],
        "layers": len(rates) or None,
        "rate_at_start": _mean(known),
    }


def _right_constant(rows: Mapping[str, dict[str, Any]]) -> float | None:
    """The constant scale of the best final test, the baseline being 1; of equals the one that changes least."""
    tests = {constant_scale(arm): row["test"] for arm, row in rows.items()}
    tests = {scale: test for scale, test in tests.items() if scale is not None and test is not None}
    if not tests or BASELINE not in rows or rows[BASELINE]["test"] is None:
        return None
    tests[1.0] = rows[BASELINE]["test"]
    return max(tests, key=lambda scale: (tests[scale], -abs(math.log(scale))))


def _identical(done: Mapping[str, Record]) -> bool | None:
    """Whether the attached placebo equals the baseline bit for bit; None where one of them is missing."""
    if BASELINE not in done or "attached" not in done:
        return None
    return done[BASELINE]["digest"] == done["attached"]["digest"]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
