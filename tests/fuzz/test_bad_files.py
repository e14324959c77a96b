"""Damaged files of every kind that the lab reads: only errors of ours, and nothing that was there is changed."""

import io
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahsar.lab import data
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.results import matrix
from ahsar.lab.results import population as populations
from ahsar.lab.results.folder import Results
from ahsar.lab.results.records import read
from ahsar.lab.results.schema import header
from ahsar.lab.spec import population, workload
from ahsar.lab.study import cells
from ahsar.lab.trial import ranks
from tests.lab.data.test_tactile import arrays as touches

from .common import examples, quiet
from .junk import PLAIN, mutated, plain, refused

TOMLS = {
    "workload": (workload.FOLDER / "digits.toml", lambda path: workload.load(path)),
    "matrix": (cells.FOLDER / "headline.toml", lambda path: [cells.load(path, quick) for quick in (True, False)]),
    "population": (population.FOLDER / "users.toml", lambda path: population.load(path).draw(1)),
}


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leaves_alone(folder: Path, function: Callable[[], Any]) -> None:
    """Reading writes nothing, whether the files are refused or not."""
    before = listing(folder)
    with quiet():
        refused(function)
    assert listing(folder) == before


def literal(value: Any) -> str:
    """As TOML says it; what it has no word for as it stands, which is no TOML."""
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf") if not isinstance(value, dict) else "{ a = 1 }"


@st.composite
def damaged(draw: Any, text: str) -> str:
    """A text with some lines whose value is another, that are missing, doubled or cut short."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "value", "value", "missing", "twice", "cut", "renamed"]))
        key, equals, _ = lines[at].partition("=")
        if how == "value" and equals:
            lines[at] = f"{key}= {literal(draw(plain))}"
        elif how == "renamed":
            lines[at] = lines[at].replace("[", "[un", 1) if "[" in key else f"un{lines[at]}"
        elif how == "twice":
            lines.insert(at, lines[at])
        elif how == "cut":
            lines[at] = lines[at][: len(lines[at]) // 2]
        else:
            del lines[at]
        if not lines:
            break
    return "\n".join(lines)


@pytest.mark.parametrize("kind", TOMLS)
@given(drawn=st.data())
@settings(max_examples=examples(60))
def test_toml(kind: str, drawn: Any) -> None:
    original, load = TOMLS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / original.name
        path.write_text(drawn.draw(damaged(original.read_text(encoding="utf-8"))), encoding="utf-8")
        leaves_alone(path.parent, lambda: load(path))


# ---------------------------------------------------------------- data


def windows() -> dict[str, np.ndarray]:
    """A small but true file of event-camera windows."""
    rng, count = np.random.default_rng(0), 24
    return {
        "x": rng.integers(0, 128, 3 * count), "y": rng.integers(0, 128, 3 * count), "p": rng.integers(0, 2, 3 * count),
        "t": np.tile(np.array([3, 90, 200]), count), "offsets": np.arange(0, 3 * count + 1, 3),
        "labels": np.arange(count) % 2, "rec_id": np.arange(count) // 8, "split_session": np.arange(count) // 16,
        "window_us": np.array(1000),
    }  # fmt: skip


KINDS = {"ev-objects": touches, "dvs-objects": windows}
ARRAYS = [
    np.array([]), np.array(3), np.zeros((2, 2)), np.full(36, np.nan), np.array([10**18, -1]), np.full(24, -(2**62)),
    np.array(["a"]), np.array([None], dtype=object), np.array([2**64 - 1], dtype=np.uint64), np.zeros(12, dtype=bool),
    np.zeros(24, dtype=np.int64), np.zeros(25, dtype=np.int64), np.zeros(0, dtype=np.int64),
]  # fmt: skip


@cache
def spec(kind: str) -> workload.Workload:
    found = next(cell.workload for cell in cells.load("headline", quick=True).cells if cell.workload.data.name == kind)
    few = replace(found.data, val_size=4, train_limit=0, test_limit=0, window_gap=0)
    return replace(found, data=few)


def packed(arrays: dict[str, np.ndarray], claim: bool) -> bytes:
    """An npz; `claim`: one of its arrays says that it is far larger than all memory."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    if claim:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": (2**50,)})
        with zipfile.ZipFile(file, "a") as archive, quiet():
            archive.writestr("t.npy", head.getvalue())
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@given(drawn=st.data())
@settings(max_examples=examples(60))
def test_event_files(kind: str, drawn: Any) -> None:
    arrays = KINDS[kind]()
    how = drawn.draw(
        st.sampled_from(["true", "array", "array", "array", "missing", "cut", "bytes", "claim", "pickle", "other"])
    )
    if how in ("array", "missing"):
        name = drawn.draw(st.sampled_from(sorted(arrays)))
        del arrays[name]
        if how == "array":
            arrays[name] = drawn.draw(st.sampled_from(ARRAYS))
    content = packed(arrays, how == "claim")
    if how == "cut":
        content = content[: drawn.draw(st.integers(0, len(content) - 1))]
    elif how == "bytes":
        at = drawn.draw(st.integers(0, len(content) - 9))
        content = content[:at] + drawn.draw(st.binary(min_size=8, max_size=8)) + content[at + 8 :]
    elif how == "pickle":
        content = pickle.dumps(arrays)
    elif how == "other":
        content = drawn.draw(st.binary(max_size=50))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AHSAR_CACHE", f"{folder}/cache")
        (source := Path(folder) / "data").mkdir()
        (source / {"ev-objects": "ev_objects.npz", "dvs-objects": "biolab_dvs128.npz"}[kind]).write_bytes(content)
        leaves_alone(source, lambda: data.load(spec(kind), source))


# ---------------------------------------------------------------- results


@cache
def records() -> str:
    """Of two arms and two seeds, as JSON."""
    found = []
    for arm in ("baseline", "ahsar", "constant@0.5"):
        for seed in (0, 1):
            record = header(workload.load("digits"), arm, seed, ranks.settings("cpu", "32-true"))
            point = {"epoch": 0, "train_loss": 1.0, "val_loss": 1.0, "seconds": 1.0, "rates": {"n": 0.1}, "scales": {"n": 1.0}}
            curve = [{"step": 20 * i, "val_metric": 0.3 * i, **point} for i in range(4)]
            ended = {"steps_to_target": 40, "seconds_to_target": 1.0, "final_test": 0.9, "final_val": 0.9, "seconds": 2.0}
            found.append({**record, "status": "done", "curve": curve, **ended, "mean_rate": 0.2, "spikes": 5.0, "digest": "a"})
    return json.dumps(found)


@given(st.data(), st.booleans())
@settings(max_examples=examples(120))
def test_trials(drawn: Any, cut: bool) -> None:
    rows = drawn.draw(mutated(json.loads(records()), plain, most=3))
    lines = "".join(json.dumps(row) + "\n" for row in rows) if isinstance(rows, list) else json.dumps(rows)
    lines = lines[: drawn.draw(st.integers(0, len(lines)))] if cut else lines
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trials.jsonl").write_text(lines)
        leaves_alone(Path(folder), lambda: summarise(read(Path(folder))))


ABOUTS: dict[str, Callable[[Path], Any]] = {
    "workload.json": lambda out: Results(out).read_workload(),
    matrix.ABOUT: matrix.about_of,
    populations.ABOUT: populations.read,
    "trials/ahsar-s0.jsonl": lambda out: Results(out).check(ranks.settings("cpu", "32-true")),
}


@pytest.mark.parametrize("name", ABOUTS)
@given(st.one_of(st.binary(max_size=20), st.sampled_from(PLAIN).map(lambda value: json.dumps(value).encode())))
@settings(max_examples=examples(25))
def test_manifests(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        leaves_alone(Path(folder), lambda: ABOUTS[name](Path(folder)))
