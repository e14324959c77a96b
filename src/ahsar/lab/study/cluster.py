"""What runs the workers of a comparison: processes of this machine, or jobs of a SLURM cluster, both by submitit."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ahsar.errors import WorkloadError
from ahsar.lab.trial import ranks

WEEK = 7 * 24 * 60
# What a job may ask for. These have one name for all of submitit's clusters; the rest, sbatch's own options, get a prefix.
_SHARED = {"timeout_min": int, "mem_gb": float, "cpus_per_task": int, "gpus_per_node": int}
_SBATCH = {
    **dict.fromkeys(("partition", "qos", "account", "constraint", "gres", "exclude", "nodelist", "comment"), str),
    **dict.fromkeys(("mail_type", "mail_user", "dependency", "mem_per_gpu", "mem_per_cpu"), str),
    "setup": list,  # shell commands before the worker starts, such as `module load cuda`
}
KNOWN: dict[str, type] = {**_SHARED, **_SBATCH}


def check(command: str, cluster: str, options: Sequence[str] | None) -> dict[str, Any]:
    """What jobs ask for, by submitit's names, from `--slurm NAME=VALUE[,NAME=VALUE...]`.

    A comma belongs to the value before it unless NAME= follows. The same name again replaces the value, `setup` adds a line.

    Args:
        command: of ahsar, for errors.

    Raises:
        WorkloadError: an unknown cluster, option or value; or this machine cannot submit jobs; or torchrun started it.
    """
    ranks.refuse(command)
    if cluster not in ("local", "slurm"):
        raise WorkloadError(f"--cluster {cluster!r}: choose local or slurm")
    if options and cluster != "slurm":
        raise WorkloadError("--slurm asks a cluster for something: add --cluster slurm, or leave --slurm out")
    asked: dict[str, Any] = {}
    for pair in (pair for option in options or () for pair in re.split(r",(?=\w+=)", option)):
        name, equals, text = pair.partition("=")
        if name not in KNOWN or not equals or not text:
            raise WorkloadError(f"--slurm {pair!r}: give NAME=VALUE with a NAME of {', '.join(KNOWN)}")
        if KNOWN[name] is list:
            asked.setdefault(f"slurm_{name}", []).append(text)
        else:
            asked[name if name in _SHARED else f"slurm_{name}"] = _value(name, text)
    absent = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
    if cluster == "slurm" and absent:
        raise WorkloadError(
            f"--cluster slurm: there is no {absent[0]} in PATH, so no job can be submitted from here; start it on a login node "
            "of the cluster, or take --cluster local"
        )
    return asked


def _value(name: str, text: str) -> Any:
    kind = KNOWN[name]
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise WorkloadError(f"--slurm {name}={text}: give a {'whole number' if kind is int else 'number'} > 0")
    return value


def executor(folder: Path, cluster: str, threads: int, name: str, asked: dict[str, Any]) -> Any:
    """The submitit executor that starts workers; logs and, for SLURM, batch scripts go to `folder`.

    Args:
        threads: of a worker, so many cores its job gets.
        asked: as `check` gives it; stands above everything else.
    """
    import submitit  # heavy

    made = submitit.AutoExecutor(folder=folder, cluster=cluster)
    made.update_parameters(**{"timeout_min": WEEK, "cpus_per_task": threads, "name": name, **asked})
    return made
