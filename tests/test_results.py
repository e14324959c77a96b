"""The README's figures are those of the runs kept in docs/results, which are whole."""

import gzip
import json
from pathlib import Path

import pytest

from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.matrix import page as matrix_page
from benchmarks import readme

ROOT = Path(__file__).resolve().parents[1]
KEPT = sorted(path.parent.name for path in readme.RESULTS.glob("*/summary.json"))


def test_the_readme_shows_the_kept_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.filled(text) == text, "run: python -m benchmarks.readme fill"
    assert text.count("<!-- results:") >= 3 and "<!-- matrix:" in text and "<!-- overhead -->" in text


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_summary_follows_from_its_raw_trials(name: str) -> None:
    folder = readme.RESULTS / name
    with gzip.open(folder / "trials.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    known, again = readme.summary_of(name), json.loads(json.dumps(summarise(records)))
    for key in ("arms", "constant_grid", "workload_hash", "seeds", "attached_identical", "failures"):
        assert again[key] == known[key], key
    assert json.loads((folder / "workload.json").read_text())["hash"] == known["workload_hash"]


MATRICES = sorted(path.parent.name for path in readme.RESULTS.glob("*/matrix.json"))


@pytest.mark.parametrize("name", MATRICES)
def test_a_kept_matrix_follows_from_its_raw_trials(name: str) -> None:
    folder = readme.RESULTS / name
    known = json.loads((folder / "matrix.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(matrix_page.collect(folder))) == known
    assert known["missing"] == [] and len(known["cells"]) >= 24
    assert matrix_page.headline(known) in (folder / "matrix.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10 * 2**20
