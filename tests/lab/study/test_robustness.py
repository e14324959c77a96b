"""Robustness: models of a comparison, tested frozen and adapting; against records, by hand, and refused where it cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ahsar.cli.robustness import robustness as command
from ahsar.errors import ResultsError
from ahsar.lab import corruptions, data
from ahsar.lab.report.robustness import page as report
from ahsar.lab.results.folder import Results
from ahsar.lab.results.schema import name_of
from ahsar.lab.spec import workload
from ahsar.lab.spec.workload import Workload
from ahsar.lab.study import robustness
from ahsar.lab.study.compare import Plan, compare
from ahsar.lab.study.worker import Task
from ahsar.lab.trial import ranks
from ahsar.state import VECTORS
from tests.lab import tiny

ARMS = ["baseline", "ahsar", "constant@0.5", "constant@1.2"]


def trained(spec: Workload, out: Path, arms: list[str], seeds: int = 1, keep: bool = True) -> list[dict[str, Any]]:
    """What `compare` leaves, made in this process; the records."""
    results, trials = Results(out), tuple((arm, seed) for seed in range(seeds) for arm in arms)
    results.open(spec, "ahsar compare", ranks.settings("auto", "32-true", 1))
    Task(spec, out, trials, keep=keep)()
    results.merge(record for trial in trials if (record := results.finished(name_of(*trial))))
    return [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms over two seeds of a net with batch norm, with their models."""
    folder = tmp_path_factory.mktemp("robustness")
    file = tiny.write(folder, steps=40)
    file.write_text(file.read_text().replace("time_steps = 2", "time_steps = 2\nbatch_norm = true"))
    trained(workload.load(file), folder / "out", ARMS, 2)
    return folder / "out"


@pytest.fixture(scope="module")
def measured(out: Path) -> dict[str, Any]:
    return robustness.measure(out, limit=0, severities="1,5", names="fog,contrast")


def accuracy(found: dict[str, Any], arm: str, mode: str, seed: int, corruption: str, severity: int) -> float:
    key = (arm, mode, seed, corruption, severity)
    (value,) = [c["accuracy"] for c in found["accuracy"] if tuple(c.values())[:5] == key]
    return value


def test_frozen_models_score_on_clean_samples_as_in_their_trials(out: Path, measured: dict[str, Any]) -> None:
    records = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    tested = {cell["arm"] for cell in measured["accuracy"]}
    assert {"baseline", "ahsar"} < tested and len(tested) == 3  # the better constant
    for record in records:
        if record["arm"] in tested:
            assert accuracy(measured, record["arm"], "frozen", record["seed"], "clean", 0) == record["final_test"]


def test_batch_statistics_are_those_of_the_batch_and_leave_no_trace(out: Path, measured: dict[str, Any]) -> None:
    spec = Results(out).read_workload()
    splits = data.load(spec)
    x, y = corruptions.source(spec, splits, None).corrupted("contrast", 5), splits.test[1]
    model, homeostat = robustness._load(Results(out).model("baseline-s1"), spec, splits)
    assert homeostat is None and len(y) <= robustness.BATCH
    subject = robustness.Subject(("baseline", "norm"), 1, model, None, robustness.paradigms.build(spec))
    with robustness.ExitStack() as stack:
        subject.begin(stack)
        subject.test(x, y)
    saved = torch.load(Results(out).model("baseline-s1"), weights_only=True)["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert not any(module.training for module in model.modules())
    with torch.no_grad():
        frozen = int((model(x).mean(0).argmax(1) == y).sum()) / len(y)
    assert accuracy(measured, "baseline", "frozen", 1, "contrast", 5) == frozen  # given back
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum, module.training = 1.0, True
    with torch.no_grad():
        right = int((model(x).mean(0).argmax(1) == y).sum()) / len(y)
    assert accuracy(measured, "baseline", "norm", 1, "contrast", 5) == right
    assert right != frozen


def test_episodes_do_not_depend_on_what_came_before(out: Path, measured: dict[str, Any]) -> None:
    alone = robustness.measure(out, limit=0, severities="5", names="contrast")
    for cell in alone["accuracy"]:
        if "continual" not in cell["mode"]:
            assert cell["accuracy"] == accuracy(measured, *list(cell.values())[:5])
    again = robustness.measure(out, limit=0, severities="1,5", names="contrast,fog")
    assert again["accuracy"] == measured["accuracy"]


def test_adapting_changes_scores_and_gives_the_scales_back(out: Path) -> None:
    spec = Results(out).read_workload()
    splits = data.load(spec)
    source = corruptions.source(spec, splits, None)
    for mode in ("episodic", "continual"):
        model, homeostat = robustness._load(Results(out).model("ahsar-s0"), spec, splits)
        assert homeostat is not None
        before = homeostat.scales
        subject = robustness.Subject(("ahsar", mode), 0, model, homeostat, robustness.paradigms.build(spec))
        with robustness.ExitStack() as stack:
            subject.begin(stack)
            with torch.no_grad(), homeostat.paused():
                plain = model(source.clean)
            adapted = subject._scores(source.corrupted("contrast", 5))
            assert (homeostat.scales == before) == (mode == "episodic")
            with torch.no_grad(), homeostat.paused():
                assert not torch.equal(adapted, model(source.corrupted("contrast", 5)).mean(0)) or mode == "continual"
        assert homeostat.scales == before
        with torch.no_grad():
            assert torch.equal(model(source.clean), plain)


@pytest.mark.parametrize("mode", robustness.BOTH)
def test_batch_statistics_and_scales_act_together(out: Path, measured: dict[str, Any], mode: str) -> None:
    spec = Results(out).read_workload()
    splits = data.load(spec)
    source = corruptions.source(spec, splits, None)
    x, y = source.corrupted("contrast", 5), source.labels
    model, homeostat = robustness._load(Results(out).model("ahsar-s1"), spec, splits)
    assert homeostat is not None
    before, scales, config = homeostat.state, homeostat.scales, homeostat.config
    state = {name: value.clone() for name, value in model.state_dict().items()}
    calls: list[int] = []
    counter = model.register_forward_hook(lambda *_: calls.append(1))
    subject = robustness.Subject(("ahsar", mode), 1, model, homeostat, robustness.paradigms.build(spec))
    with robustness.ExitStack() as stack:
        subject.begin(stack)
        with torch.no_grad():
            subject._scores(source.corrupted("fog", 5))
            scores = subject._scores(x)
    assert len(calls) == 2 * (robustness.UPDATES + 1)
    counter.remove()
    assert homeostat.scales == scales and homeostat.config == config
    assert all(torch.equal(a, b) for a, b in zip(vectors(homeostat.state), vectors(before), strict=True))
    now = model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in state.items())
    norms = robustness._norms(model)
    assert norms and all(norm.track_running_stats and not norm.training for norm in norms)

    # by hand: the statistics of the batch in every forward, and the scales that lead each layer to its own rate
    twin, other = robustness._load(Results(out).model("ahsar-s1"), spec, splits)
    assert other is not None
    twin.eval()
    for norm in robustness._norms(twin):
        norm.momentum, norm.training = 0.0, True
    with torch.no_grad(), other.adapting() as adaptation:
        for batch in (source.corrupted("fog", 5), x):
            if mode == "norm+episodic":
                adaptation.reset()
            for _ in range(robustness.UPDATES):
                twin(batch)
                other.step()
        assert other.scales != scales
        with other.paused():
            wanted = twin(x).mean(0)
    assert torch.equal(scores, wanted)
    if mode == "norm+episodic":
        right = int((scores.argmax(1) == y).sum()) / len(y)
        assert accuracy(measured, "ahsar", mode, 1, "contrast", 5) == right


def vectors(state: Any) -> list[torch.Tensor]:
    """All that moves, with NaN made comparable."""
    return [getattr(state, name).nan_to_num(-1.0) for name in VECTORS]


def test_models_are_made_for_trials_that_ended_without(tmp_path: Path) -> None:
    spec, out = workload.load(tiny.write(tmp_path, steps=5)), tmp_path / "out"
    first = trained(spec, out, ["baseline", "ahsar"], keep=False)
    with pytest.raises(ResultsError, match=r"baseline-s0.pt is missing: .* again with --keep"):
        robustness.measure(out)
    lines = compare(Plan(spec, out, ["baseline", "ahsar"], [0], keep=True)).read_text().splitlines()
    second = [json.loads(line) for line in lines]
    assert [r["digest"] for r in first] == [r["digest"] for r in second]
    found = robustness.measure(out, limit=50, severities="3", names="jpeg")
    assert {cell["mode"] for cell in found["accuracy"]} == {"frozen", "episodic", "continual"}  # no batch norm, no such row
    for wrong in ({"model": {"a": torch.zeros(1)}, "homeostat": None}, [1], None):
        Results(out).model("ahsar-s0").write_bytes(b"not a model")
        if wrong is not None:
            torch.save(wrong, Results(out).model("ahsar-s0"))
        with pytest.raises(ResultsError, match=r"ahsar-s0.pt: .*expected a model of this workload: remove it") as raised:
            robustness.measure(out)
        assert len(str(raised.value)) < 500 and "weights_only" not in str(raised.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no results"):
        robustness.measure(tmp_path)
    out = tmp_path / "out"
    trained(workload.load(tiny.write(tmp_path, steps=5)), out, ["baseline"])
    with pytest.raises(ResultsError, match="no finished trial of ahsar: run"):
        robustness.measure(out)
    manifest = json.loads((out / "workload.json").read_text())
    (out / "workload.json").write_text(json.dumps({**manifest, "hash": "0"}))
    with pytest.raises(ResultsError, match="not the one that ran"):
        robustness.measure(out)


def test_the_command_prints_a_table_and_where_the_page_is(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(str(out), limit=20, severities="2", corruptions="jpeg,fog")
    text = capsys.readouterr().out
    for part in ("accuracy on 20 test samples, 2 seeds", "severity 2", "AHSAR, continual", "page:", "robustness.html"):
        assert part in text
    assert json.loads((out / "robustness.json").read_text())["corruptions"] == ["fog", "jpeg"]


def test_page_picture_and_table(out: Path, measured: dict[str, Any]) -> None:
    summary = report.write(out, measured)
    assert json.loads((out / "robustness.json").read_text()) == json.loads(json.dumps(summary))
    page = (out / "robustness.html").read_text()
    shown = ("batch statistics, episodic", "AHSAR, episodic", "frost is procedural", "picked after the fact", "fog")
    for text in (*shown, "lead each layer to the rate"):
        assert text in page
    assert "Trials are paired" not in page and "data:image/png;base64" in page
    picture = (out / "robustness.png").read_bytes()
    report.write(out, measured)
    assert (out / "robustness.png").read_bytes() == picture and picture.startswith(b"\x89PNG")
    assert len(report.main_rows(summary)) == len(summary["rows"]) == report.table(summary).row_count == 9
    assert len(report.main_header(summary)) == len(report.main_rows(summary)[0])
    said = " ".join(report.findings(summary))
    assert "adapting rival" in said and "nan" not in said and said.count("With batch statistics and scales") == 2
