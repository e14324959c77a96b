"""What a trial's record holds: one dictionary, which every other file writes, reads and checks by the names here."""

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
