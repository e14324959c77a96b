"""Comparisons: fanned out, resumed after a kill or Ctrl-C, with failures shown and not fatal."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ahsar.errors import ResultsError
from ahsar.lab.results.folder import Results
from ahsar.lab.results.schema import header
from ahsar.lab.spec import workload
from ahsar.lab.study.compare import Plan, compare
from ahsar.lab.study.worker import Task
from ahsar.lab.trial import ranks
from tests.lab import tiny

SETTINGS = ranks.settings("cpu", "32-true", 1)


def plan_of(folder: Path, arms: list[str], seeds: int = 2, **fields: Any) -> Plan:
    return Plan(workload.load(tiny.write(folder, **fields)), folder / "out", arms, list(range(seeds)), jobs=2)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_compare_then_resume_runs_only_what_is_missing(tmp_path: Path) -> None:
    plan, seen = plan_of(tmp_path, ["baseline", "ahsar"]), []
    first = read(compare(plan, lambda steps, ended: seen.append((sum(steps.values()), len(ended)))))
    assert [record["trial"] for record in first] == ["baseline-s0", "ahsar-s0", "baseline-s1", "ahsar-s1"]
    assert all(record["status"] == "done" for record in first)
    assert seen[-1][0] == 4 * 20 and sum(ended for _, ended in seen) == 4
    trials = plan.out / "trials"
    kept = (trials / "baseline-s0.jsonl").stat().st_mtime_ns
    (trials / "ahsar-s1.jsonl").unlink()
    second = read(compare(plan))
    assert (trials / "baseline-s0.jsonl").stat().st_mtime_ns == kept
    assert second[3]["digest"] == first[3]["digest"]
    assert not list(trials.glob("*.part"))


def test_a_failed_trial_is_kept_apart_and_tried_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ["baseline", "shuffled"], seeds=1, depth=1, steps=5)
    for _ in range(2):
        done, broken = read(compare(plan))
        assert done["status"] == "done"
        assert broken["status"] == "failed" and "at least two spiking layers" in broken["error"]


def test_a_folder_of_another_workload_is_refused(tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    results.open(workload.load(tiny.write(tmp_path)), "ahsar compare tiny", SETTINGS)
    with pytest.raises(ResultsError, match="another --out"):
        results.open(workload.load(tiny.write(tmp_path, steps=25)), "ahsar compare tiny", SETTINGS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(ResultsError, match="holds no results of ahsar"):
        Results(tmp_path / "mine").open(workload.load(tiny.write(tmp_path)), "", SETTINGS)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_trials_of_other_settings_are_not_added(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ["baseline"], seeds=1, steps=5)
    (first,) = read(compare(plan))
    assert {key: first[key] for key in vars(plan.settings)} == vars(plan.settings)
    before = {path: path.read_bytes() for path in sorted(plan.out.rglob("*.json*"))}
    for changes, said in ({"precision": "bf16-mixed"}, "precision 32-true"), ({"threads": 2}, "threads 1"):
        with pytest.raises(ResultsError, match=f"{said} .*give another --out, or .*again"):
            compare(replace(plan, seeds=[0, 1], **changes))
    assert {path: path.read_bytes() for path in sorted(plan.out.rglob("*.json*"))} == before
    assert len(read(compare(replace(plan, seeds=[0, 1])))) == 2


def test_a_folder_of_an_earlier_version_is_not_added_to(tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    spec = workload.load(tiny.write(tmp_path))
    results.open(spec, "", SETTINGS)
    said = header(spec, "baseline", 0, SETTINGS)
    results.finish({**{key: value for key, value in said.items() if key != "source_hash"}, "status": "done", "final_test": 0.5})
    with pytest.raises(ResultsError, match=r"of an earlier version, which do not say their source hash \(baseline-s0\)"):
        results.open(spec, "", SETTINGS)
    results.finish({**said, "status": "failed", "precision": "8-true"})  # a wrong setting can be mended
    results.open(spec, "", SETTINGS)


def test_a_worker_looks_again_on_its_own_machine(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path, ["baseline"]), cluster="slurm")
    assert plan.settings.accelerator == "" and replace(plan, accelerator="cpu").settings.accelerator == "cpu"
    results = Results(plan.out)
    results.open(plan.workload, "", plan.settings)
    elsewhere = replace(plan.settings, accelerator="another")
    results.finish({**header(plan.workload, "baseline", 0, elsewhere), "status": "done", "final_test": 0.5})
    results.open(plan.workload, "", plan.settings)
    threads = torch.get_num_threads()
    with pytest.raises(ResultsError, match="accelerator another"):
        Task(plan.workload, plan.out, (("baseline", 1),))()
    torch.set_num_threads(threads)
    assert not (results.claims / "baseline-s1").exists()


def test_a_trial_is_claimed_once(tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    results.open(workload.load(tiny.write(tmp_path)), "", SETTINGS)
    assert results.claim("ahsar-s0") and not results.claim("ahsar-s0")
    results.open(workload.load(tiny.write(tmp_path)), "", SETTINGS)  # a new run forgets the claims of an interrupted one
    assert results.claim("ahsar-s0")


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_compare_goes_on(tmp_path: Path, blow: signal.Signals) -> None:
    file, out = tiny.write(tmp_path, steps=100), tmp_path / "out"
    command = [str(Path(sys.executable).with_name("ahsar")), "compare", str(file), "--arms", "baseline,ahsar"]
    command += ["--seeds", "5", "--jobs", "1", "--out", str(out)]
    log = tmp_path / "stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # a shell's background job ignores Ctrl-C, and so would its children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    wait_for(lambda: len(list((out / "trials").glob("*.jsonl"))) >= 2, process)
    # Ctrl-C in a terminal reaches every process of the group
    os.killpg(process.pid, blow) if blow is signal.SIGINT else process.send_signal(blow)
    status, errors = process.wait(timeout=60), log.read_text()
    if blow is signal.SIGINT:
        assert status == 130
        assert errors.startswith("interrupted; finished trials are kept") and len(errors.splitlines()) == 1
    wait_until_still(out / "trials")
    finished = {path.name: path.stat().st_mtime_ns for path in (out / "trials").glob("*.jsonl")}
    assert 2 <= len(finished) < 10 and not (out / "trials.jsonl").exists() and not (out / "report.html").exists()
    for name in finished:
        assert json.loads((out / "trials" / name).read_text())["status"] == "done"
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(read(out / "trials.jsonl")) == 10
    assert {name: (out / "trials" / name).stat().st_mtime_ns for name in finished} == finished


def wait_for(ready: object, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not ready():  # type: ignore[operator]
        assert process.poll() is None, "compare ended by itself"
        assert time.monotonic() < deadline, "compare never finished two trials"
        time.sleep(0.02)


def wait_until_still(trials: Path) -> None:
    """A killed parent's worker stops at its next evaluation: wait until no file changes any more."""
    before: list[tuple[str, int]] = []
    for _ in range(60):
        now = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(trials))
        if now == before:
            return
        before = now
        time.sleep(1)
    raise AssertionError("a worker goes on after its comparison was killed")
