"""What a result depends on besides its workload: versions, our own source, and the settings that a trial ran with."""

import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import ahsar
from ahsar.errors import ResultsError
from ahsar.lab.results import source

_PACKAGES = ("torch", "numpy", "lightning-fabric", "spikingjelly", "snntorch", "tonic", "datasets", "scikit-learn")


@lru_cache(maxsize=1)
def source_hash() -> str:
    """8 hex digits over what of ahsar a trial runs."""
    return source.source_hash()


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Version of Python, of every package that takes part, and of ahsar with the hash of what of it a trial runs."""
    installed = {"python": platform.python_version(), "ahsar": f"{ahsar.__version__}+{source_hash()}"}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@dataclass(frozen=True)
class Settings:
    """What all trials of a results folder have in common beside their workload; fields of every record.

    Precision and accelerator change the arithmetic. Threads and processes change the order of sums, so the last bits, on
    which "bit-identical" and every later step rest. Another source is another program.

    Attributes:
        precision: of lightning-fabric.
        accelerator: the kind of device, as "cpu" or "cuda"; "" where only the trial's own machine can tell.
        threads: of torch, in each process.
        processes: that share one trial.
        source_hash: of what of ahsar a trial runs.
    """

    precision: str
    accelerator: str
    threads: int
    processes: int
    source_hash: str

    def check(self, folder: Path, records: Iterable[dict[str, Any]]) -> None:
        """Refuse to add to a folder that holds trials of other settings. Those that failed do not count.

        Raises:
            ResultsError: a record has another value, or none, as those of earlier versions; with the cure.
        """
        for record in (record for record in records if record["status"] != "failed"):
            for key, mine in asdict(self).items():
                theirs, what = record.get(key), key.replace("_", " ")
                if theirs is None:
                    raise ResultsError(
                        f"{folder} holds trials of an earlier version, which do not say their {what} ({record['trial']}): "
                        "give another --out; reports can still be made of it"
                    )
                if mine not in ("", theirs):
                    raise ResultsError(
                        f"{folder} holds trials with {what} {theirs} ({record['trial']}), and these would have {mine}: give "
                        f"another --out, or {_AGAIN[key].format(theirs)}"
                    )


_AGAIN = {
    "precision": "--precision {} again",
    "accelerator": "--accelerator {} again",
    "threads": "{} threads again (--threads, or OMP_NUM_THREADS for `ahsar run`)",
    "processes": "{} process(es) again",
    "source_hash": "go on with the ahsar that began it",
}
