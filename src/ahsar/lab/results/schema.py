"""What a trial's record holds: one dictionary, which every other file writes, reads and checks by the names here."""

import math
from dataclasses import asdict
from typing import Any

from ahsar.lab.results import provenance
from ahsar.lab.results.provenance import Settings
from ahsar.lab.spec.workload import Workload

Record = dict[str, Any]
SCHEMA = 1
# A trial ends as one of these, and is a result; one that failed was no trial of its arm, and is run again.
ENDED = ("done", "diverged")

# What is measured once a trial has ended; None until then, and `steps_to_target` where the target was not reached.
MEASURED = (
    *("steps_to_target", "seconds_to_target", "final_test", "final_val", "mean_rate", "spikes"),
    *("synops", "energy_proxy_nj", "operations", "footprint", "connection_sparsity"),
    *("seconds", "seconds_with_evaluation", "digest"),
)
# What a page cannot do without, of any record and of one that is done; records of earlier versions lack some of the rest.
NEEDED = (
    *("trial", "arm", "seed", "status", "workload", "workload_hash", "quick"),
    *("budget", "metric", "higher_is_better", "target", "curve"),
)
NEEDED_DONE = (*NEEDED, "steps_to_target", "seconds_to_target", "final_test", "seconds", "digest")

_NUMBER = (int, float)
_POINT = {"step": int, "seconds": _NUMBER, "val_metric": (*_NUMBER, type(None))}
# Of which types: what others may be None, or missing in records of earlier versions. Tables hold numbers, or further tables.
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("trial", "arm", "status", "workload", "workload_hash", "metric"), str),
    **dict.fromkeys(("quick", "higher_is_better"), bool),
    **{"seed": int, "budget": int, "target": _NUMBER, "curve": list},
}
_TYPES_IF_ANY: dict[str, Any] = {
    **dict.fromkeys(("error", "digest", "device", "accelerator", "precision", "source_hash"), str),
    **dict.fromkeys(("steps_to_target", "seconds_to_target", "final_test", "final_val", "mean_rate", "spikes"), _NUMBER),
    **dict.fromkeys(("energy_proxy_nj", "footprint", "connection_sparsity", "seconds", "seconds_with_evaluation"), _NUMBER),
    **{"synops": dict, "operations": dict, "versions": dict, "margin": _NUMBER, "threads": int, "processes": int},
}


def name_of(arm: str, seed: int) -> str:
    """The trial's name in files and tables."""
    return f"{arm}-s{seed}"


def header(workload: Workload, arm: str, seed: int, settings: Settings) -> Record:
    """What a record says before its trial has run."""
    return {
        "schema": SCHEMA,
        "trial": name_of(arm, seed),
        "workload": workload.name,
        "workload_hash": workload.hash,
        "quick": workload.quick,
        "arm": arm,
        "seed": seed,
        "status": "running",
        "error": None,
        "config": None,
        "versions": provenance.versions(),
        **asdict(settings),
        "budget": workload.budget.steps,
        "metric": workload.target.metric,
        "higher_is_better": workload.target.higher_is_better,
        "target": workload.target.value,
        "margin": workload.target.margin,
        "curve": [],
        **dict.fromkeys(MEASURED),
    }


def missing(record: Record) -> list[str]:
    """The names that a record lacks of those that it needs."""
    return [key for key in (NEEDED_DONE if record.get("status") == "done" else NEEDED) if key not in record]


def wrong(record: Any) -> str | None:
    """What is wrong with a record that was read from a file, in words; None if a page can be made of it."""
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}, not a table"
    if lacking := missing(record):
        return f"lacks `{lacking[0]}`"
    odd = [key for key, kind in _TYPES.items() if not _is(record[key], kind)]
    odd += [key for key, kind in _TYPES_IF_ANY.items() if record.get(key) is not None and not _is(record[key], kind)]
    odd += [key for key in ("budget", "target") if not odd and not math.isfinite(record[key])]
    if odd:
        return f"has `{odd[0]}` = {record[odd[0]]!r}"
    if record["budget"] < 1 or (record["status"] == "done" and record["final_test"] is None):
        return "has no `final_test`, or a `budget` below 1"
    return next((f"has a `curve` with {bad}" for point in record["curve"] if (bad := _wrong_point(point))), None)


def _wrong_point(point: Any) -> str | None:
    if not isinstance(point, dict):
        return repr(point)
    if odd := [key for key, kind in _POINT.items() if key not in point or not _is(point[key], kind)]:
        return f"`{odd[0]}` = {point.get(odd[0])!r}"
    tables = [key for key in ("rates", "scales") if point.get(key) is not None and not _is_numbers(point[key])]
    return repr(point) if tables else None


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _is_numbers(table: Any) -> bool:
    return isinstance(table, dict) and all(value is None or _is(value, _NUMBER) for value in table.values())
