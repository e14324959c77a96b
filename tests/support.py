"""docs/support.md: every neuron class of the contract × what it was tried with. Written by the tests, never by hand.

    python -m tests.support        # a minute or two

A row is a class in one step mode; its cells are what came of running it: eager over all of its configurations in the contract,
the others over the first one. `tests/test_support.py` holds the document to what it finds.
"""

import os
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

import ahsar
from ahsar.export import EXPORTERS, to_nir
from tests.adapters import test_contract as contract
from tests.adapters.case import Case, tensors_in
from tests.adapters.cases import CASES
from tests.compiling import Counts, counting
from tests.models import MOVING

FILE = Path(__file__).resolve().parents[1] / "docs" / "support.md"
OUR_OWN = "your own"
Key = tuple[str, str, str]  # framework, class, step mode
# what the eager column runs, of the contract
PROMISES: tuple[Callable[[Case], None], ...] = (
    lambda case: contract.test_at_scale_one_outputs_and_gradients_are_bit_exact(case, "held"),
    lambda case: contract.test_scaling_equals_rebuilding(case, 0.6),
    contract.test_rate_is_the_share_of_outputs_that_are_not_zero,
    contract.test_detach_restores_everything,
)


def rows() -> dict[Key, list[Case]]:
    """The cases of each row."""
    found: dict[Key, list[Case]] = defaultdict(list)
    for case in CASES:
        module = case.module()
        layer = next(item for item in ahsar.discover(nn.ModuleDict({"layer": module})) if item.name.startswith("layer"))
        framework = OUR_OWN if type(module).__module__.startswith("tests") else layer.framework
        mode = "sequence" if len(case.run(module, case.input())) == 1 else "step"
        found[framework, type(module).__name__, mode].append(case)
    order = [*ahsar_frameworks(found), OUR_OWN]
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0])))


def ahsar_frameworks(found: dict[Key, list[Case]]) -> list[str]:
    return [name for name in dict.fromkeys(key[0] for key in found) if name != OUR_OWN]


def eager(cases: list[Case]) -> str:
    for case in cases:
        for promise in PROMISES:
            try:
                promise(case)
            except Exception as error:
                return f"FAILED: {case}: {said(error)}"
    return f"passed ({len(cases)})"


def attached(case: Case, **options: Any) -> tuple[Any, ahsar.Homeostat]:
    module = case.module()
    return module, ahsar.attach(
        nn.ModuleDict({"layer": module}), config=replace(MOVING, set_point=0.05), layers="all", **options
    )


def outputs(case: Case, module: Any) -> list[torch.Tensor]:
    torch.default_generator.manual_seed(2)
    return [tensor.detach() for tensor in tensors_in(case.run(module, case.input().requires_grad_(case.differentiable)))]


def compiled(case: Case) -> str:
    """Outputs and rates as in eager mode at changing scales; graphs and breaks against the unattached module's."""
    try:
        with counting() as alone:
            module = case.module()
            module.compile(backend="eager")
            for _ in range(3):
                outputs(case, module)
    except Exception as error:
        return f"n/a: does not compile without ahsar ({said(error)})"
    try:
        with counting() as counts:
            module, homeostat = attached(case, compile=True)
            twin, wanted = attached(case)
            module.compile(backend="eager")
            for scale in (0.9, 0.6, 0.8):  # not 1, which leaves a layer alone
                homeostat.hold(scale)
                wanted.hold(scale)
                for got, same in zip(outputs(case, module), outputs(case, twin), strict=True):
                    torch.testing.assert_close(got, same, rtol=1e-4, atol=1e-5)
                homeostat.step()
                wanted.step()
                assert abs(homeostat.rates["layer"] - wanted.rates["layer"]) < 1e-5, "the rates differ"
    except Exception as error:
        return f"not supported: {said(error)}"
    return "passed" + more(counts, alone)


def more(counts: Counts, alone: Counts) -> str:
    broken = ", breaks the graph" if counts.breaks > alone.breaks else ""
    return broken or (", compiles anew when scales change" if counts.graphs > alone.graphs else "")


def exported(framework: str, cases: list[Case]) -> str:
    """In how many configurations the framework's exporter takes the layer behind a linear one, and writes its new threshold."""
    if framework not in EXPORTERS:
        return "n/a: its framework has no exporter to NIR" if framework != OUR_OWN else "n/a: no framework"
    errors = [error for case in cases if (error := export_error(case)) is not None]
    if len(errors) == len(cases):
        return f"not supported by its exporter: {said(errors[0])}"
    return f"passed ({len(cases) - len(errors)} of {len(cases)})"


def export_error(case: Case) -> Exception | None:
    """None if any layout of the input that the frameworks know works; else what the exporter says."""
    x = case.input()
    error: Exception | None = None
    for sample in (x[0], x, x.transpose(0, 1)):
        for options in ({}, {"ignore_dims": [0]}):
            try:
                return carries(case, sample, options)
            except Exception as found:
                error = error or found
    return error


def carries(case: Case, sample: torch.Tensor, options: dict[str, Any]) -> None:
    module = case.module()
    model = nn.Sequential(nn.Linear(sample.shape[-1], sample.shape[-1]), module)
    before = thresholds(to_nir(model, sample, **options))
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    homeostat.bake()
    after = thresholds(to_nir(model, sample, **options))
    assert before and len(before) == len(after), "it leaves the layer out"
    assert all(abs(b / a - 0.5) < 1e-5 for a, b in zip(before, after, strict=True)), "it writes another threshold"


def thresholds(graph: Any) -> list[float]:
    nodes = [graph.nodes[name] for name in sorted(graph.nodes)]
    return [float(node.v_threshold.reshape(-1)[0]) for node in nodes if hasattr(node, "v_threshold")]


def said(error: Exception) -> str:
    """The first line of an error, short and without what differs between runs."""
    text = str(error).strip() or type(error).__name__
    text = re.sub(r"0x[0-9a-f]+|/\S+/", "", text.splitlines()[0])
    return re.sub(r"[|`<>]", "", text)[:60].strip()


# ---------------------------------------------------------------- two processes


def regulate(case: Case, ranks: tuple[int, ...]) -> list[Any]:
    """Rates and scales after two updates, fed with the inputs of these ranks."""
    module, homeostat = attached(case)
    for step in range(2):
        for rank in ranks:
            torch.default_generator.manual_seed(10 * step + rank)
            case.run(module, case.input() * (1.0 + 0.3 * rank + 0.1 * step) if not case.rest else case.input())
        homeostat.step()
    return [homeostat.rates["layer"], homeostat.scales["layer"]]


def in_parallel(rank: int, folder: str, names: list[str]) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {str(case): regulate(case, (rank,)) for case in CASES if str(case) in names}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    os._exit(0)  # PyTorch's own shutdown sometimes aborts


def distributed(cases: list[Case]) -> dict[str, str]:
    """A cell for each case: two ranks with data of their own equal one process with the data of both."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(in_parallel, (folder, list(map(str, cases))), nprocs=2)
        ranks = [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]
    cells = {}
    for case in cases:
        wanted = torch.tensor(regulate(case, (0, 1)))
        pairs = [torch.tensor(rank[str(case)]) for rank in ranks]
        equal = torch.equal(*pairs) and torch.allclose(pairs[0], wanted, rtol=0, atol=1e-6)
        cells[str(case)] = "passed" if equal else "FAILED: the ranks differ from one process"
    return cells


# ---------------------------------------------------------------- the document


def build() -> dict[Key, list[str]]:
    """The cells of each row: eager, compile, DDP, export."""
    found = rows()
    parallel = distributed([cases[0] for cases in found.values()])
    return {key: row(key, cases, parallel[str(cases[0])]) for key, cases in found.items()}


def row(key: Key, cases: list[Case], parallel: str) -> list[str]:
    """The cells of one row, of which `distributed` gives all at once."""
    return [eager(cases), compiled(cases[0]), parallel, exported(key[0], cases)]


def line(key: Key, cells: list[str]) -> str:
    """A row as the document writes it."""
    return "| " + " | ".join([f"`{key[1]}`", key[2], *cells]) + " |"


def read(text: str) -> dict[Key, list[str]]:
    """The cells of each row of the document; `line` gives it back."""
    table, framework = {}, ""
    for entry in text.splitlines():
        if entry.startswith("## "):
            framework = entry.removeprefix("## ")
        elif entry.startswith("| `"):
            cls, mode, *cells = entry.removeprefix("| ").removesuffix(" |").split(" | ")
            table[framework, cls.strip("`"), mode] = cells
    return table


INTRODUCTION = """# What was tested with what

Written by `python -m tests.support`; a test compares it with what it finds. A row is a neuron class in one step mode: one call
per time step, or per sequence.

- **Eager**: at scale 1 bit-exact, a scale equals rebuilding with the scaled threshold, the rate equals a count by hand, detach
  restores. In brackets: how many configurations passed.
- **Compile**: `torch.compile` after attach gives the outputs and rates of eager mode at changing scales, with no more graphs
  and breaks than unattached, unless it says so. First configuration.
- **DDP**: two ranks with data of their own equal one process with the data of both. First configuration.
- **Export**: the NIR that the framework's exporter writes for the layer behind a linear one carries the baked threshold.

Classes that are not here are listed by `ahsar inspect` with the reason why they are skipped.
"""


def render(table: dict[Key, list[str]]) -> str:
    lines = [INTRODUCTION]
    framework = None
    for (name, cls, mode), cells in table.items():
        if name != framework:
            lines += [f"\n## {name}\n", "| class | mode | eager | compile | DDP | export |", "|" + " --- |" * 6]
            framework = name
        lines.append(line((name, cls, mode), cells))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FILE.write_text(render(build()), encoding="utf-8")
    print(FILE)
