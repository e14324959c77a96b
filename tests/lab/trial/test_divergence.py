"""A trial whose weights or losses are not finite ends as diverged: it says what, and passes for no silent net."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from ahsar.cli.app import app
from ahsar.lab import data
from ahsar.lab.report.comparison import page, words
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.comparison.tables import rows
from ahsar.lab.report.matrix import page as matrix_page
from ahsar.lab.results.records import arms_of, read
from ahsar.lab.results.schema import name_of
from ahsar.lab.spec import workload
from ahsar.lab.study.compare import Plan, compare
from ahsar.lab.study.tune import tune
from ahsar.lab.trial.divergence import divergence
from ahsar.lab.trial.ranks import first_word
from ahsar.lab.trial.run import run_trial
from tests.lab import tiny

# snnTorch's sigmoid surrogate behind batch norm: inf/inf in its gradient, and a loss that stays finite
DIVERGING = '[model]\nbatch_norm = true\nsurrogate = "sigmoid"'
ONE = torch.ones(())


def write(folder: Path) -> Path:
    path = tiny.write(folder, target=0.05)  # reached before the first step
    path.write_text(path.read_text().replace("[model]", DIVERGING))
    return path


@pytest.mark.parametrize("arm", ["baseline", "ahsar"])
def test_a_trial_of_weights_that_are_not_finite_ends_at_once(tmp_path: Path, arm: str) -> None:
    spec = workload.load(write(tmp_path))
    seen: list[int] = []
    record = run_trial(spec, data.load(spec), arm, 0, report=lambda point: seen.append(point["step"]), keep=tmp_path / "model")
    assert record["status"] == "diverged"
    assert record["error"] == "weights of synapses.conv1.0.weight are not finite at step 5"
    assert [point["step"] for point in record["curve"]] == seen == [0]
    assert record["curve"][0]["val_metric"] >= spec.target.value and record["steps_to_target"] is None
    assert record["final_test"] is record["digest"] is record["seconds_to_target"] is None
    assert not (tmp_path / "model").exists()


def test_what_is_not_finite_is_named_with_its_step() -> None:
    linear, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = nn.Sequential(linear, norm)
    assert divergence(model, [ONE] * 3, 10) is None
    assert divergence(model, [ONE, ONE / 0, ONE], 10) == "the loss is not finite at step 9"
    norm.state_dict()["running_var"][1] = torch.inf
    assert divergence(model, [ONE], 10) == "values of 1.running_var are not finite at step 10"
    linear.bias.data[0] = torch.nan  # parameters are said before buffers
    said = "the loss is not finite at step 10, and weights of 0.bias are not finite at step 10"
    assert divergence(model, [ONE * torch.nan], 10) == said == first_word(said)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A comparison of which all trials diverged."""
    folder = tmp_path_factory.mktemp("diverged")
    plan = Plan(workload.load(write(folder)), folder / "out", ["baseline", "ahsar"], [0, 1], keep=True)
    compare(plan)
    return plan


def test_a_diverged_trial_is_not_run_again(study: Plan) -> None:
    files = [study.out / "trials" / f"{name_of(*pair)}.jsonl" for pair in study.trials]
    before = [file.stat().st_mtime_ns for file in files]
    compare(study)
    assert [file.stat().st_mtime_ns for file in files] == before


def test_the_page_counts_it_apart(study: Plan) -> None:
    records = read(study.out)
    summary = summarise(records)
    ours = summary["arms"]["ahsar"]
    assert (ours["n"], ours["reached"], ours["diverged"], ours["failed"]) == (2, 0, 2, 0)
    assert ours["final_test"]["mean"] is None and ours["speedup"]["reached_controlled"] == 0
    assert rows(summary)[1][1] == "0/2 (2 diverged)"
    assert [lost["status"] for lost in summary["failures"]] == ["diverged"] * 4
    said = words.findings(summary)
    assert any(text.startswith("4 trials diverged") for text in said) and not any("failed" in text for text in said)
    text = page.write(study.out).read_text()
    assert "baseline-s1</strong> diverged: " in text and "conv1.0.weight are not finite at step 5" in text
    matrix = matrix_page.combine([study.out], study.out.parent / "together").with_suffix(".md").read_text()
    assert "(2, 2 diverged)" in matrix and "– → –" in matrix and "- diverged: tiny ahsar-s0: weights of" in matrix


def test_beside_finished_trials_it_is_a_miss(study: Plan) -> None:
    lost = read(study.out)
    done = [well(record) for record in lost if record["arm"] == "baseline"]
    summary = summarise([*done, *(record for record in lost if record["arm"] == "ahsar")])
    ours, speed = summary["arms"]["ahsar"], summary["arms"]["ahsar"]["speedup"]
    assert (speed["n"], speed["reached_baseline"], speed["reached_controlled"]) == (2, 2, 0)
    assert speed["median"] == pytest.approx(10 / 20)  # a miss counts as the budget
    # it is known never to arrive, so the clock of the others goes on
    assert ours["seconds_speedup"]["reached_baseline"] == 2 and ours["seconds_per_step_ratio"] is None
    assert summary["arms"]["baseline"]["diverged"] == 0 and summary["attached_identical"] is None
    assert len(arms_of(lost)["ahsar"]) == 2


def well(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it would be, had its trial ended well."""
    ended = {"steps_to_target": 10, "seconds_to_target": 100.0, "final_test": 0.8, "seconds": 200.0, "digest": "ab"}
    first = {**record["curve"][0], "val_metric": 0.0, "seconds": 0.0}
    half = {**first, "step": 10, "val_metric": record["target"], "seconds": 100.0}
    curve = [first, half, {**half, "step": 20, "seconds": 200.0}]
    return {**record, **ended, "curve": curve, "status": "done", "error": None, "mean_rate": 0.1, "spikes": 5.0}


def test_a_learning_rate_that_diverges_is_not_chosen(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, steps=10)
    spec = workload.load(path)
    broken = replace(spec, model=replace(spec.model, batch_norm=True, surrogate="sigmoid"))
    row = tune(broken, None, [1e-2], [1000])["trials"][0]
    assert row["curve"] == [row["best"]] == [row["best_of_first_half"]] and row["test"] is None


def test_the_command_says_so(tmp_path: Path) -> None:
    call = ["run", str(write(tmp_path)), "--arm", "baseline", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, call, env={"COLUMNS": "300"})
    assert result.exit_code == 0 and "diverged: weights of synapses.conv1.0.weight are not finite at step 5" in result.output
    assert "model:" not in result.output and (tmp_path / "out" / "baseline-s0.jsonl").exists()
