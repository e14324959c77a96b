"""What no processor changes: hashes of workloads, keys of records and of states, the words of every message.

Each function computes one kind of fact from the code as it is; `tests/unchanged/NAME.json` holds it as it was.
"""

import ast
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ahsar
from ahsar.adapters.registry import FRAMEWORKS
from ahsar.lab import data
from ahsar.lab.results.schema import header
from ahsar.lab.spec.population import load as load_population
from ahsar.lab.spec.workload import load as load_workload
from ahsar.lab.spec.workload import names as workload_names
from ahsar.lab.study.cells import load as load_cells
from ahsar.lab.study.cells import names as matrix_names
from ahsar.lab.trial import ranks
from ahsar.lab.trial.run import run_trial
from tests import models
from tests.adapters.cases import CASES
from tests.lab import tiny

FOLDER = Path(__file__).parent
SOURCE = Path(ahsar.__file__).parent
BUDGETS = {"full": False, "quick": True}
_CELLS = {"headline": "cell"}  # what its facts were called when it was the only matrix


def hashes() -> dict[str, str]:
    """The hash of every workload and of every cell of the matrices, in both budgets, and of some draws of users."""
    found = {}
    for budget, quick in BUDGETS.items():
        for name in workload_names():
            found[f"workload {name} {budget}"] = load_workload(name, quick).hash
        for matrix in matrix_names():
            for cell in load_cells(matrix, quick).cells:
                found[f"{_CELLS.get(matrix, f'{matrix} cell')} {cell.name} {budget}"] = cell.workload.hash
    users = load_population("users")
    found["population users"] = users.hash
    for number in (0, 1, 2, 199, users.verdict, users.verdict + 199):
        found[f"population users, draw {number}"] = users.draw(number).workload.hash
    return found


def record() -> list[str]:
    """Every key of a trial's record, nested ones as a path: of one before it runs, and of two that ran."""
    with tempfile.TemporaryDirectory() as folder:
        spec = load_workload(tiny.write(Path(folder), steps=5))
    splits = data.load(spec)
    records = {"started": header(spec, "ahsar", 0, ranks.settings("cpu", "32-true"))}
    records |= {arm: run_trial(spec, splits, arm, 0) for arm in ("baseline", "ahsar")}
    # which packages have a version depends on what is installed
    return sorted(f"{kind}: {path}" for kind, entry in records.items() for path in paths({**entry, "versions": None}))


def controller() -> list[str]:
    """Every key of `Homeostat.state_dict()`, nested ones as a path, in its order."""
    model = models.build("float", depth=2)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer)
    models.train_step(model, optimizer, 0)
    homeostat.epoch(0.5)
    homeostat.hold(1.0)
    return list(paths(homeostat.state_dict()))


def attached() -> dict[str, list[str]]:
    """The keys of an attached model's state, and of its controller's, for the first case of each class of each framework."""
    found: dict[str, list[str]] = {}
    seen = set()
    for case in CASES:
        module = case.module()
        kind = type(module).__module__, type(module).__qualname__, case.learnable
        if kind in seen:
            continue
        seen.add(kind)
        model = nn.ModuleDict({"layer": module})
        homeostat = ahsar.attach(model, config=ahsar.Config(set_point=0.05))
        torch.default_generator.manual_seed(2)
        case.run(module, case.input())
        homeostat.step()
        found[str(case)] = [*model.state_dict(), *(f"homeostat: {name}" for name in homeostat.state_dict()["layers"])]
    return found


def messages() -> list[str]:
    """Every text that the source may tell its user, whatever the file: errors, warnings, reasons.

    These are the texts in a `raise` or `warn` and any other of four words or more, but for docstrings, what is printed, the
    help of commands, and the words of pages. Implicitly and explicitly concatenated texts are one; what is filled in is {}.
    """
    found: set[str] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pages = "report" in path.relative_to(SOURCE).parts
        found.update(text for text, said in _texts(tree, False, False) if said or (not pages and text.count(" ") >= 3))
    return sorted(found)


def missing() -> list[str]:
    """The frameworks that are not installed, without which `attached` is not whole."""
    return [name for name in FRAMEWORKS if importlib.util.find_spec(name) is None]


FACTS: dict[str, Callable[[], Any]] = {
    "hashes": hashes,
    "record": record,
    "controller": controller,
    "attached": attached,
    "messages": messages,
}


def stored(name: str) -> Any:
    """What was found when it was last stored."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The keys of nested dicts and of dicts in lists, as a.b and a[].b; each once, in the order met."""
    found: dict[str, None] = {}
    if isinstance(value, dict):
        for key, item in value.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            found[path] = None
            found.update(dict.fromkeys(paths(item, path)))
    elif isinstance(value, list):
        for item in value:
            found.update(dict.fromkeys(paths(item, f"{prefix}[]")))
    yield from found


# ---------------------------------------------------------------- reading the source

_QUIET = {"print", "Option", "Argument", "Typer", "add_argument", "ArgumentParser", "add_task", "TextColumn", "compile"}


def _texts(node: ast.AST, said: bool, quiet: bool) -> Iterator[tuple[str, bool]]:
    """(text, whether it is in a `raise` or a `warn`) of all texts below a node."""
    if isinstance(node, ast.Raise):
        said, quiet = True, False
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        said, quiet = said or name == "warn", quiet or name in _QUIET
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    text = _template(node)
    if text is not None:
        # names and separators within a message are no message
        if not quiet and any(letter.isalpha() for letter in text.replace("{}", "")) and (" " in text):
            yield text, said
        for hole in _holes(node):
            yield from _texts(hole, False, quiet)
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, said, quiet)


def _template(node: ast.AST) -> str | None:
    """The text of a literal, an f-string or a sum with one in it, {} for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _template(node.left), _template(node.right)
        return None if left is None and right is None else f"{'{}' if left is None else left}{'{}' if right is None else right}"
    return None


def _holes(node: ast.AST) -> Iterator[ast.AST]:
    """What is filled into a text."""
    if isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            if _template(side) is None:
                yield side
            else:
                yield from _holes(side)
