"""The README's figures are those of the runs kept in docs/results, which are whole."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.matrix import page as matrix_page
from ahsar.lab.report.population import page as population_page
from ahsar.lab.results import population, times
from ahsar.lab.results.records import read
from benchmarks import results
from tests.lab.report.test_population import DRAW, NETS
from tests.lab.report.test_population import record as trial_of

# Logarithms differ in their last digits between processors; a figure that any reader sees does not.
DIGITS = 1e-9
ROOT = Path(__file__).resolve().parents[1]
KEPT = sorted(path.parent.name for path in results.RESULTS.glob("*/summary.json"))


def difference(found: Any, known: Any, where: str = "") -> str | None:
    """Where two JSON values differ by more than the last digits of a number, or None."""
    if isinstance(found, dict) and isinstance(known, dict) and list(found) == list(known):
        inner = (difference(found[key], known[key], f"{where}.{key}") for key in known)
        return next((text for text in inner if text is not None), None)
    if isinstance(found, list) and isinstance(known, list) and len(found) == len(known):
        inner = (difference(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(found, known, strict=True)))
        return next((text for text in inner if text is not None), None)
    if isinstance(found, float) and isinstance(known, float):
        same = math.isclose(found, known, rel_tol=DIGITS, abs_tol=DIGITS)
    else:
        same = found == known
    return None if same else f"{where}: {found!r} is not {known!r}"


def test_only_the_last_digits_may_differ() -> None:
    kept = {"a": [1.0, {"b": 0.25}], "c": "x"}
    assert difference({"a": [1.0 + 1e-12, {"b": 0.25}], "c": "x"}, kept) is None
    assert difference({"a": [1.0, {"b": 0.2501}], "c": "x"}, kept) == ".a[1].b: 0.2501 is not 0.25"
    assert difference({"a": [1.0], "c": "x"}, kept) and difference({"a": [1.0, {"b": 0.25}]}, kept)


def test_the_documents_show_the_kept_results() -> None:
    texts = [path.read_text(encoding="utf-8") for path in results.FILLED]
    assert [results.filled(text) for text in texts] == texts, "run: python -m benchmarks.results fill"
    shown = texts[1]
    assert shown.count("<!-- results:") >= 3 and "<!-- matrix:" in shown and "<!-- overhead -->" in shown


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_summary_follows_from_its_raw_trials(name: str) -> None:
    folder = results.RESULTS / name
    with gzip.open(folder / "trials.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    known, again = results.summary_of(name), json.loads(json.dumps(summarise(records)))
    for key in ("levels", "arms", "constant_grid", "against", "workload_hash", "seeds", "attached_identical", "failures"):
        assert difference(again[key], known[key]) is None, key
    assert json.loads((folder / "workload.json").read_text())["hash"] == known["workload_hash"]


@pytest.mark.parametrize("path", sorted(results.RESULTS.rglob("trials.jsonl.gz")), ids=lambda path: path.parent.name)
def test_interpolated_steps_lie_within_the_evaluation_that_the_record_names(path: Path) -> None:
    records = read(path.parent)
    for record, steps in zip(records, times.to_target(records), strict=True):
        known = record["steps_to_target"]
        evaluated = [point["step"] for point in record["curve"]]
        before = max((step for step in evaluated if known is not None and step < known), default=0)
        assert math.isnan(steps) if known is None else before <= steps <= known, record["trial"]


MATRICES = sorted(path.parent.name for path in results.RESULTS.glob("*/matrix.json"))


@pytest.mark.parametrize("name", MATRICES)
def test_a_kept_matrix_follows_from_its_raw_trials(name: str) -> None:
    folder = results.RESULTS / name
    known = json.loads((folder / "matrix.json").read_text(encoding="utf-8"))
    assert difference(json.loads(json.dumps(matrix_page.collect(folder))), known) is None
    cells = json.loads((folder / "matrix-about.json").read_text(encoding="utf-8"))["cells"]
    assert known["missing"] == [] and list(known["cells"]) == list(cells)
    assert matrix_page.headline(known) in (folder / "matrix.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10 * 2**20


POPULATIONS = sorted(path.parent.name for path in results.RESULTS.glob("*/population.json"))


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_kept_population_follows_from_its_raw_trials(name: str) -> None:
    folder = results.RESULTS / name
    known = json.loads((folder / "population.json").read_text(encoding="utf-8"))
    assert difference(json.loads(json.dumps(population_page.collect(folder))), known) is None
    assert population_page.headline(known) in (folder / "population.md").read_text(encoding="utf-8")


def test_a_population_is_kept_whole_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs" / "p-verdict"
    names = [f"p-{i:04d}" for i in range(len(NETS))]
    population.take(folder, "p", "abc", True, {name: population.Net(**DRAW) for name in names}, "ahsar population p")
    rows = [trial_of(arm, test, i) for i, tests in enumerate(NETS) for arm, test in tests.items()]
    (folder / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    population_page.write(folder)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "kept")
    kept = results.keep_population(folder)
    (kept / "older.png").touch()
    assert results.keep_population(folder) == kept and not (kept / "older.png").exists()
    for wrong in (kept, tmp_path / "nowhere" / "p-verdict"):
        with pytest.raises(SystemExit, match="give the results folder of a run"):
            results.keep_population(wrong)
    numbers = json.loads((kept / "population.json").read_text(encoding="utf-8"))
    assert difference(json.loads(json.dumps(population_page.collect(kept))), numbers) is None
    shown = results.filled("<!-- population:p-verdict -->\nold\n<!-- /population:p-verdict -->")
    assert "`ahsar population p`: Over 5 nets AHSAR ended at" in shown and "old" not in shown
    assert "| constant 0.4 | 5 |" in shown and (kept / "population-scatter.png").exists()
