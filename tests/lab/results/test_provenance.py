"""The source hash takes in what a trial runs and nothing else; settings tell trials apart that must not share a table."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ahsar.errors import ResultsError
from ahsar.lab.results import provenance, source
from ahsar.lab.results.provenance import Settings
from ahsar.lab.trial import ranks
from tests.lab import tiny

OURS = {path.relative_to(source.ROOT).as_posix() for path in source.files()}
SETTINGS = Settings("32-true", "cpu", 1, 1, "0123abcd")
# Two arms and a paradigm with files of their own, then what of ahsar was imported on the way.
PROGRAM = """
import sys
from pathlib import Path
from dataclasses import replace
from ahsar.lab import data
from ahsar.lab.spec import workload
from ahsar.lab.trial.run import run_trial
from ahsar.lab.spec.workload import Paradigm
spec = workload.load(sys.argv[1])
splits = data.load(spec)
run_trial(spec, splits, "ahsar", 0, accelerator="cpu", tensorboard=Path(sys.argv[2]), keep=Path(sys.argv[2]) / "model.pt")
run_trial(replace(spec, paradigm=Paradigm("tbptt")), splits, "rate-loss", 0, accelerator="cpu")
print(*(getattr(module, "__file__", None) for name, module in sys.modules.items() if name.split(".")[0] == "ahsar"), sep="\\n")
"""


def test_all_that_a_trial_imports_is_hashed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tiny.write(tmp_path, steps=5)), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {Path(line).relative_to(source.ROOT).as_posix() for line in done.stdout.splitlines() if line != "None"}
    assert {"functional.py", "lab/arms/rate_loss.py", "lab/paradigms/tbptt.py"} < imported
    assert imported <= OURS


def test_nothing_else_is_hashed() -> None:
    assert not [name for name in OURS if name.startswith(("lab/report/", "lab/corruptions/", "lab/study/", "cli"))]
    assert not [name for name in OURS if Path(name).stem in ("commands", "compare", "robustness", "stats", "tune", "matrix")]


def copied(folder: Path) -> Path:
    """A copy of our source."""
    return Path(shutil.copytree(source.ROOT, folder / "ahsar", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_hash_follows_what_computes_a_trial_and_not_its_pages(tmp_path: Path) -> None:
    root = copied(tmp_path)
    before = source.source_hash(root)
    assert before == provenance.source_hash() and len(before) == 8 and int(before, 16) >= 0
    assert provenance.versions()["ahsar"].endswith(f"+{before}")

    def after(name: str) -> str:
        path = root / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\n# changed\n", encoding="utf-8")
        found = source.source_hash(root)
        path.write_text(text, encoding="utf-8")
        return found

    changed = ("functional.py", "adapters/norse.py", "lab/models/vgg11.py", "lab/arms/tebn.py", "lab/data/events.py")
    assert len({before, *map(after, changed)}) == 1 + len(changed)
    others = ("lab/report/page.py", "lab/report/comparison/tables.py", "lab/corruptions/images.py", "export.py", "__main__.py")
    assert {after(name) for name in others} == {before}
    (root / "lab" / "report" / "new.py").write_text("import ahsar\n")
    assert source.source_hash(root) == before
    (root / "lab" / "models" / "new.py").write_text("import ahsar\n")  # picked by name, so nothing imports it
    assert source.source_hash(root) != before


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from . import a",
        "a.py": "",
        "lab/__init__.py": "",
        "lab/trial.py": "def f():\n    from ..b.c import d\n    import ahsar.e",
        "b/__init__.py": "from .side import x",
        "b/side.py": "import json",
        "b/c.py": "",
        "b/d.py": "",
        "e.py": "from ahsar.lab import f",
        "lab/f.py": "",
        "lab/g.py": "from ahsar.lab import f",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = {path.relative_to(tmp_path).as_posix() for path in source.files(tmp_path)}
    assert found == set(files) - {"b/d.py", "lab/g.py"}


def record(**changes: Any) -> dict[str, Any]:
    return {"trial": "ahsar-s0", "status": "done", **vars(SETTINGS), **changes}


@pytest.mark.parametrize(
    ("key", "theirs", "said"),
    [
        (
            "precision",
            "bf16-mixed",
            "precision bf16-mixed (ahsar-s0), and these would have 32-true: give another --out, or",
        ),
        ("accelerator", "cuda", "or --accelerator cuda again"),
        ("threads", 4, "threads 4 (ahsar-s0), and these would have 1: give another --out, or 4 threads again"),
        ("processes", 2, "or 2 process(es) again"),
        ("source_hash", "ffffffff", "source hash ffffffff (ahsar-s0), and these would have 0123abcd"),
    ],
)
def test_other_settings_are_refused_with_the_cure(key: str, theirs: Any, said: str) -> None:
    with pytest.raises(ResultsError) as caught:
        SETTINGS.check(Path("out"), [record(), record(**{key: theirs})])
    assert said in str(caught.value) and str(caught.value).startswith("out holds trials with")
    earlier = record()
    del earlier[key]
    with pytest.raises(ResultsError, match=r"of an earlier version, which do not say their .* give another --out"):
        SETTINGS.check(Path("out"), [earlier])
    SETTINGS.check(Path("out"), [record(), record(**{key: theirs}, status="failed")])  # it is run again


def test_a_machine_that_cannot_tell_the_accelerator_does_not_compare_it() -> None:
    there = replace(SETTINGS, accelerator="")
    there.check(Path("out"), [record(), record(accelerator="cuda")])
    with pytest.raises(ResultsError, match="precision"):
        there.check(Path("out"), [record(precision="16-mixed")])


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_settings_are_those_of_this_process(accelerator: str) -> None:
    fabric = ranks.start(accelerator, "32-true", 1)
    found = ranks.settings(accelerator, "32-true")
    assert found == Settings("32-true", fabric.device.type, torch.get_num_threads(), 1, provenance.source_hash())
    assert ranks.settings("", "32-true", 3) == replace(found, accelerator="", threads=3)
