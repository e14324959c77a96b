"""Every public name of the package has a docstring; those of `ahsar` itself name each parameter, and their example runs."""

import ast
import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import ahsar
from ahsar.adapters import unregister

snn = pytest.importorskip("snntorch")

PACKAGE = Path(ahsar.__file__).parent
EXAMPLE = """'''A module.'''
class Public:
    '''A class.'''
    @property
    def bare(self): ...
    def _own(self): ...
def said():
    '''A function, whose insides are its own.'''
    def inside(): ...
class _Own:
    def free(self): ...
"""


def undocumented(scope: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    """The public names in a module or class, itself included, that have no docstring."""
    if not ast.get_docstring(scope):
        yield where
    for inner in scope.body:
        if not isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or inner.name.startswith("_"):
            continue
        if isinstance(inner, ast.ClassDef):
            yield from undocumented(inner, f"{where} {inner.name}")
        elif not ast.get_docstring(inner):
            yield f"{where} {inner.name}"


def test_every_public_name_has_a_docstring() -> None:
    missing = [
        name
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in undocumented(ast.parse(path.read_bytes()), path.relative_to(PACKAGE).as_posix())
    ]
    assert not missing, "write what it does, its shapes, units, ranges and errors: " + ", ".join(missing)


def test_a_name_without_a_docstring_is_found() -> None:
    assert list(undocumented(ast.parse(EXAMPLE), "file.py")) == ["file.py Public bare"]


@pytest.mark.parametrize("name", ahsar.__all__)
def test_every_parameter_is_named(name: str) -> None:
    offered = getattr(ahsar, name)
    for method, function in vars(offered).items() if inspect.isclass(offered) else [(name, offered)]:
        if inspect.isfunction(function) and not method.startswith("_"):
            for parameter in inspect.signature(function).parameters:
                said = parameter == "self" or re.search(rf"\b{parameter}\b", inspect.getdoc(function) or "")
                assert said, f"the docstring of ahsar.{name} says nothing of {parameter}, which {method}() takes"


@pytest.mark.parametrize("name", ahsar.__all__)
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    names = {"ahsar": ahsar, "torch": torch, "nn": nn, "snn": snn}
    tests = doctest.DocTestFinder(recurse=False).find(getattr(ahsar, name), name, globs=names)
    examples = [test for test in tests if test.examples]
    assert examples, f"ahsar.{name} has no example: write one below its docstring, with >>>"
    said: list[str] = []
    for test in examples:
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append, clear_globs=False)
        if "Step" in test.globs:
            unregister(test.globs["Step"])
    assert not said, "".join(said)
