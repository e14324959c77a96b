"""Reading `trials.jsonl`, and the few questions that the numbers and the pictures both ask of its records."""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ahsar.errors import ResultsError
from ahsar.lab.arms import RIVALS, VARIANTS
from ahsar.lab.arms.names import kind_of, number_of
from ahsar.lab.results import stats, times
from ahsar.lab.results.schema import ENDED, Record, wrong

ORDER = ("baseline", "ahsar", "constant", "constant-left-out", "constant-for-all", "shuffled", "attached", *VARIANTS, *RIVALS)


def read(out: Path) -> list[Record]:
    """The records of `out`/trials.jsonl (or .jsonl.gz), or of the single trials that `ahsar run --out` left, in their order.

    Blank lines are skipped. Raises ResultsError, which names the file and the line, if there is none or one is corrupt.
    """
    whole = Path(out) / "trials.jsonl"
    if not whole.exists() and (kept := whole.with_name("trials.jsonl.gz")).exists():
        whole = kept
    singles = [] if whole.exists() else sorted(Path(out).glob("*-s*.jsonl"))
    records = [record for path in singles or [whole] for record in _records(path)]
    if not records:
        raise ResultsError(f"{whole}: holds no trials: run `ahsar compare` with this --out folder again")
    return records


def _records(path: Path) -> list[Record]:
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:  # a broken archive is one of all three
        said = getattr(error, "strerror", None) or error
        raise ResultsError(f"{path}: cannot be read ({said}): give the --out folder of a comparison") from error
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _record(line: bytes, where: str) -> Record:
    cure = "delete the line and run `ahsar compare` again, which redoes this trial alone"
    try:
        record = json.loads(line.decode())
    except (RecursionError, ValueError) as error:  # bad UTF-8 included
        raise ResultsError(f"{where}: is not valid JSON ({error}): {cure}") from error
    if said := wrong(record):
        raise ResultsError(f"{where}: the record {said}: {cure}")
    return record


def arms_of(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Trials of each arm that ended, in the order of the table; constants keep their own names (`constant@0.5`).

    Those that diverged are among them: they did not reach the target, and have no final test.
    """
    arms: dict[str, dict[int, Record]] = {}
    for record in records:
        if record["status"] in ENDED:
            arms.setdefault(record["arm"], {})[record["seed"]] = record
    return {arm: [arms[arm][seed] for seed in sorted(arms[arm])] for arm in sorted(arms, key=rank)}


def merit(rows: Sequence[Record]) -> tuple[float, float]:
    """What arms are chosen by, the smaller the better: the restricted mean of steps to target; the final test breaks ties."""
    final = stats.mean_interval(known(rows, "final_test")).estimate
    good = final if rows[0]["higher_is_better"] else -final
    steps = stats.restricted_mean(times.to_target(rows), float(rows[0]["budget"]))
    return steps, -good if math.isfinite(good) else math.inf


def best_of(kind: str, records: Iterable[Record]) -> str | None:
    """Of the arms KIND@NUMBER the best by `merit`."""
    tried = [item for item in arms_of(records).items() if item[0].startswith(f"{kind}@")]
    return min(tried, key=lambda item: merit(item[1]))[0] if tried else None


def is_rival(arm: str) -> bool:
    """Whether an arm is a rival with its number, as `rate-loss@0.1` is."""
    return kind_of(arm) in RIVALS


def best_rivals(records: Iterable[Record]) -> list[str]:
    """Of every rival that ran the best number, in the order of the table."""
    rows = list(records)
    return [best for name in RIVALS if (best := best_of(name, rows)) is not None]


def rank(arm: str) -> tuple[int, float, str]:
    """Sort key that puts arms in the order of the table, constants and each rival by their number."""
    name, number = kind_of(arm), number_of(arm)
    return (ORDER.index(name) if name in ORDER else len(ORDER), float(number or 0), arm)


def known(rows: Sequence[Record], key: str) -> list[float]:
    """One field of those records where it is a finite number."""
    values = (row.get(key) for row in rows)
    return [float(value) for value in values if value is not None and math.isfinite(value)]
