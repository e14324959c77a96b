"""The results folder of a population: population-about.json says what it belongs to; every draw has a results folder in it.

What is kept of it needs no more than that file and one trials.jsonl.gz with the records of all draws.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.results import provenance
from ahsar.lab.results.folder import commands_after, read_about, records_in
from ahsar.lab.results.records import read as read_trials
from ahsar.lab.results.schema import Record

ABOUT = "population-about.json"


@dataclass(frozen=True)
class Net:
    """What a page needs to know of one draw beside its records.

    Attributes:
        axes: the names of its blocks.
        classes: of its data.
        workload: as `dataclasses.asdict` gives it.
    """

    axes: dict[str, str]
    classes: int
    workload: dict[str, Any]


def take(out: Path, name: str, hash_: str, verdict: bool, nets: dict[str, Net], command: str, times: int = 1) -> None:
    """Note what the folder belongs to: the population, the block, how many times the drawn budgets are spent, and the draws,
    which add to those noted before.

    Raises:
        ResultsError: it holds another population, draws of the other block, or other budgets.
    """
    draws, known = {}, {}
    if is_population(out):
        known = about_of(out)
        if (known["hash"], known["verdict"]) != (hash_, verdict):
            block = "the verdict" if known["verdict"] else "development"
            raise ResultsError(
                f"{out} holds draws for {block} of population {known['name']!r} (hash {known['hash']}): give another --out"
            )
        if known.get("times", 1) != times:
            raise ResultsError(f"{out} holds nets trained {known.get('times', 1)} times as long as drawn: give another --out")
        draws = known["draws"]
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ResultsError(f"{out} exists and holds no population: give another --out")
    draws |= {key: vars(net) for key, net in nets.items()}
    about = {
        "name": name,
        "hash": hash_,
        "verdict": verdict,
        **({"times": times} if times > 1 else {}),
        **commands_after(known, command),
        "versions": provenance.versions(),
        "draws": dict(sorted(draws.items())),
    }
    write_whole(out / ABOUT, json.dumps(about, indent=1))


def about_of(out: Path) -> dict[str, Any]:
    """What `take` noted; raises ResultsError if there is nothing."""
    if not (out / ABOUT).is_file():
        raise ResultsError(f"{out}: holds no population: give the --out of `ahsar population`")
    return read_about(out / ABOUT, "give the --out of `ahsar population`", name=str, hash=str, verdict=bool, draws=dict)


def is_population(out: Path) -> bool:
    """Whether a folder holds the results of a population."""
    return (out / ABOUT).exists()


def read(out: Path) -> dict[str, list[Record]]:
    """The records of each draw that ran, by its name: of its own folder, or of the trials.jsonl(.gz) that is kept.

    Raises:
        ResultsError: none has run, or a file is damaged.
    """
    names = about_of(out)["draws"]
    ended = {name: list(records_in(out / name / "trials")) for name in names}
    if not any(ended.values()):
        if not any((out / kept).exists() for kept in ("trials.jsonl", "trials.jsonl.gz")):
            raise ResultsError(f"{out}: none of its {len(names)} draws has run: run `ahsar population` with this --out again")
        for record in read_trials(out):
            ended.setdefault(record["workload"], []).append(record)
    return {name: ended[name] for name in names if ended[name]}


def merge(out: Path) -> Path:
    """Write trials.jsonl, the records of all draws; returns its path."""
    path = out / "trials.jsonl"
    write_whole(path, "".join(json.dumps(record) + "\n" for records in read(out).values() for record in records))
    return path
