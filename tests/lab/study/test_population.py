"""The population from the command line: it runs, goes on where it stopped, keeps its blocks apart and writes its page."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ahsar.cli.app import app
from ahsar.errors import ResultsError, WorkloadError
from ahsar.lab.results.population import about_of, read
from ahsar.lab.spec.population import load
from ahsar.lab.study.population import study_of
from tests.lab import drawn

ARMS = "baseline,ahsar,attached,constant"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["population", *map(str, words)])


def test_two_nets_run_go_on_and_say_what_they_came_to(tmp_path: Path) -> None:
    file, out = drawn.write(tmp_path), tmp_path / "out"
    done = run(file, "--n", 2, "--arms", ARMS, "--out", out, "--jobs", 1)
    assert done.exit_code == 0, done.output
    trials = {path: path.stat().st_mtime_ns for path in out.glob("two-*/trials/*.jsonl")}
    assert len(trials) == 2 * 4 and "Over 2 nets AHSAR ended" in done.output
    found = json.loads((out / "population.json").read_text(encoding="utf-8"))
    assert found["hash"] == load(file).hash and list(found["nets"]) == ["two-0000", "two-0001"]
    assert found["attached_identical"] == {"n": 2, "identical": 2}
    assert found["nets"]["two-0000"]["chance"] == 0.1 and found["nets"]["two-0000"]["layers"] == 2
    assert 0 <= found["nets"]["two-0000"]["rate_at_start"] <= 1
    html = (out / "population.html").read_text(encoding="utf-8")
    assert html.count("<figure") == 3 and "http" not in html
    assert "2 of 2 nets equal the baseline bit for bit" in html and "constant 0.4" in html

    gone = out / "two-0001" / "trials" / "ahsar-s1.jsonl"
    before = json.loads(gone.read_text())["digest"]
    gone.unlink()
    again = run(file, "--n", 3, "--arms", "baseline,ahsar", "--out", out, "--jobs", 1)
    assert again.exit_code == 0, again.output
    assert json.loads(gone.read_text())["digest"] == before
    assert all(path.stat().st_mtime_ns == when for path, when in trials.items() if path != gone)
    found = json.loads((out / "population.json").read_text(encoding="utf-8"))
    assert found["arms"]["ahsar"]["nets"] == 3 and found["arms"]["attached"]["nets"] == 2  # those of before stay in

    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "population-about.json").write_bytes((out / "population-about.json").read_bytes())
    (kept / "trials.jsonl.gz").write_bytes(gzip.compress((out / "trials.jsonl").read_bytes()))
    assert read(kept) == read(out)
    said = CliRunner().invoke(app, ["report", str(kept)])
    assert said.exit_code == 0 and (kept / "population.json").read_bytes() == (out / "population.json").read_bytes()


def test_an_interrupted_population_keeps_what_ended(tmp_path: Path) -> None:
    file, out = drawn.write(tmp_path), tmp_path / "out"
    words = ["population", str(file), "--n", "2", "--arms", "baseline,ahsar", "--out", str(out), "--jobs", "1"]
    # long enough to be stopped
    file.write_text(file.read_text().replace("steps = 6", "steps = 400").replace("eval_every = 3", "eval_every = 10"))
    child = subprocess.Popen(
        [sys.executable, "-m", "ahsar", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ,
        # a shell's background job ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (parts := list(out.glob("two-0000/trials/*.part"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert parts and child.returncode != 0 and "run the same command to go on" in said
    with pytest.raises(ResultsError, match="none of its 2 draws has run"):
        read(out)


def test_rivals_run_in_the_first_nets_of_a_block(tmp_path: Path) -> None:
    file, out = drawn.write(tmp_path), tmp_path / "out"
    done = run(file, "--n", 2, "--arms", "baseline", "--rivals", "--out", out, "--jobs", 1)
    assert done.exit_code == 0, done.output
    ran = {name: {record["arm"].partition("@")[0] for record in records} for name, records in read(out).items()}
    assert {"lr", "learnable", "rate-loss", "adaptation", "ds-atgo", "fluctuation"} <= ran["two-0000"]
    assert ran["two-0001"] == {"baseline"}


def test_the_verdicts_block_is_meant_or_refused(tmp_path: Path) -> None:
    two = load(drawn.write(tmp_path))
    with pytest.raises(WorkloadError, match=r"draws from 1000 on are for the verdict.*--verdict"):
        study_of(two, 1000, 2)
    with pytest.raises(WorkloadError, match="draw 0 is for development; the verdict's begin at --first 1000"):
        study_of(two, 0, 2, verdict=True)
    with pytest.raises(WorkloadError, match=r"draws 999 to 1000.*run them apart"):
        study_of(two, 999, 2, verdict=True)
    study = study_of(two, 1000, 2, verdict=True)
    assert study.out == Path("runs/two-verdict") and [cell.name for cell in study.cells] == ["two-1000", "two-1001"]
    assert [cell.rivals for cell in study.cells] == [True, False]


def test_longer_budgets_are_the_same_nets_in_a_folder_of_their_own(tmp_path: Path) -> None:
    two = load(drawn.write(tmp_path))
    once, longer = study_of(two, 0, 2), study_of(two, 0, 2, times=4)
    assert (once.out, longer.out) == (Path("runs/two"), Path("runs/two-times-4"))
    for before, after in zip(once.cells, longer.cells, strict=True):
        assert after.workload.budget.steps == 4 * before.workload.budget.steps
        assert replace(after.workload, budget=before.workload.budget) == before.workload
    out = tmp_path / "out"
    assert run(tmp_path / "two.toml", "--n", 1, "--arms", "baseline", "--out", out, "--jobs", 1).exit_code == 0
    kept = about_of(out)
    done = run(tmp_path / "two.toml", "--n", 1, "--arms", "baseline", "--out", out, "--jobs", 1, "--times", 2)
    assert isinstance(done.exception, ResultsError) and "trained 1 times as long as drawn: give another" in str(done.exception)
    assert about_of(out) == kept
    done = run(tmp_path / "two.toml", "--n", 1, "--arms", "baseline", "--out", tmp_path / "long", "--jobs", 1, "--times", 2)
    assert done.exit_code == 0 and "2 times their budget" in " ".join(done.output.split())
    (record,) = read(tmp_path / "long")["two-0000"]
    assert record["budget"] == 2 * once.cells[0].workload.budget.steps


def test_a_folder_holds_one_block_of_one_population(tmp_path: Path) -> None:
    file, out = drawn.write(tmp_path), tmp_path / "out"
    assert run(file, "--n", 1, "--arms", "baseline", "--out", out, "--jobs", 1).exit_code == 0
    kept = about_of(out)
    for change, words in (("1e-3", ()), (None, ("--first", 1000, "--verdict"))):
        text = file.read_text()
        file.write_text(text.replace(change, "2e-3") if change else text)
        done = run(file, "--n", 1, "--arms", "baseline", "--out", out, "--jobs", 1, *words)
        assert isinstance(done.exception, ResultsError) and "give another --out" in str(done.exception)
        file.write_text(text)
    assert about_of(out) == kept
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    done = run(file, "--n", 1, "--out", tmp_path / "mine")
    assert isinstance(done.exception, ResultsError) and "holds no population" in str(done.exception)
