"""The example in the docstring of every public name runs and gives what it says."""

import doctest

import pytest
import torch
from torch import nn

import ahsar
from ahsar.adapters import unregister

snn = pytest.importorskip("snntorch")


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
