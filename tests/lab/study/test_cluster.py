"""Comparisons on a SLURM cluster: what jobs ask for, and the whole way through programs that stand for the cluster's own."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from ahsar.cli.app import app
from ahsar.errors import WorkloadError
from ahsar.lab.spec import workload
from ahsar.lab.study import cluster, compare
from ahsar.lab.study.compare import Plan
from tests.lab import tiny

ROOT = Path(__file__).resolve().parents[3]
# sbatch runs the script in the background at once; srun runs its command, behind its own options and with SLURM's variables
PROGRAMS = {
    "sbatch": """
number=$(($(ls "$SCRIPTS" | wc -l) + 1))
cp "$1" "$SCRIPTS/$number.sh"
SLURM_JOB_ID=$number setsid sh "$1" >/dev/null 2>&1 </dev/null &
echo Submitted batch job $number
""",
    "srun": """
while [ "${1#--}" != "$1" ]; do case $1 in --output | --error) shift 2 ;; *) shift ;; esac; done
SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NAME=x exec "$@"
""",
    "sacct": "echo 'JobID|State|NodeList'",
    "scancel": "",
}


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what was submitted to a cluster that is this machine."""
    programs, scripts = tmp_path / "bin", tmp_path / "submitted"
    programs.mkdir()
    scripts.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text.lstrip()}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SCRIPTS", str(scripts))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT))))
    return scripts


def batch_script(folder: Path, asked: dict[str, Any], threads: int = 3) -> str:
    made = cluster.executor(folder, "slurm", threads, "ahsar-tiny", asked)
    return made._executor._make_submission_file_text("python -m worker", "id")


def test_a_batch_script_asks_for_what_was_asked(tmp_path: Path, scripts: Path) -> None:
    options = ["partition=gpu,long,gpus_per_node=1,timeout_min=600,mem_gb=16", "setup=module load cuda", "setup=ulimit -n 4096"]
    lines = batch_script(tmp_path, cluster.check("compare", "slurm", options)).splitlines()
    for line in ("--partition=gpu,long", "--gpus-per-node=1", "--time=600", "--mem=16GB", "--cpus-per-task=3"):
        assert f"#SBATCH {line}" in lines
    assert "#SBATCH --job-name=ahsar-tiny" in lines
    assert lines.index("module load cuda") + 1 == lines.index("ulimit -n 4096")
    command = next(line for line in lines if line.startswith("srun"))
    assert command.endswith("python -m worker") and f"--output {tmp_path}" in command
    plain = batch_script(tmp_path, {})
    assert "--time=10080" in plain and "gpus" not in plain and "partition" not in plain


def test_what_is_asked_stands_above_the_defaults(tmp_path: Path, scripts: Path) -> None:
    asked = cluster.check("compare", "slurm", ["cpus_per_task=8,timeout_min=5", "timeout_min=7"])
    text = batch_script(tmp_path, asked)
    assert "--cpus-per-task=8" in text and "--time=7\n" in text


@pytest.mark.parametrize("name", cluster.KNOWN)
def test_submitit_knows_what_we_know(tmp_path: Path, scripts: Path, name: str) -> None:
    text = batch_script(tmp_path, cluster.check("compare", "slurm", [f"{name}=7"]))
    assert re.search(r"^(#SBATCH --[\w-]+=)?7(GB)?$", text, re.MULTILINE)


@pytest.mark.parametrize("bad", ["gpus=1", "partition", "partition=", "=gpu", "", "nodes=4", "partition=gpu,gpu_count=1"])
def test_unknown_options_are_told_with_what_there_is(scripts: Path, bad: str) -> None:
    with pytest.raises(WorkloadError, match=r"--slurm '.*': give NAME=VALUE with a NAME of timeout_min, .*partition"):
        cluster.check("compare", "slurm", [bad])


@pytest.mark.parametrize("bad", ["timeout_min=1h", "gpus_per_node=-1", "gpus_per_node=0", "mem_gb=nan", "cpus_per_task=1.5"])
def test_numbers_must_be_numbers(scripts: Path, bad: str) -> None:
    with pytest.raises(WorkloadError, match=r"--slurm \w+=.*: give a (whole )?number > 0"):
        cluster.check("compare", "slurm", [bad])


def test_slurm_options_are_for_slurm() -> None:
    assert cluster.check("compare", "local", None) == {}
    with pytest.raises(WorkloadError, match="add --cluster slurm"):
        cluster.check("compare", "local", ["partition=gpu"])


@pytest.mark.parametrize("command", [["compare", "digits"], ["compare", "headline"], ["matrix", "headline"]])
def test_without_sbatch_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkloadError, match=r"no sbatch in PATH.* login node .*--cluster local"):
        app([*command, "--cluster", "slurm", "--slurm", "partition=gpu"], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_jobs_run_a_comparison(tmp_path: Path, scripts: Path) -> None:
    asked = cluster.check("compare", "slurm", ["partition=short"])
    spec = workload.load(tiny.write(tmp_path, steps=5))
    plan = Plan(spec, tmp_path / "out", ["baseline", "ahsar"], [0, 1], jobs=2, cluster="slurm", accelerator="cpu", slurm=asked)
    records = [json.loads(line) for line in compare.compare(plan).read_text().splitlines()]
    assert [record["status"] for record in records] == ["done"] * 4, records
    submitted = [path.read_text() for path in sorted(scripts.iterdir())]
    assert len(submitted) == 2 and all("#SBATCH --partition=short\n" in text for text in submitted)
    assert all(f"{sys.executable} -u -m submitit.core._submit" in text for text in submitted)
