"""`ahsar workloads`: the workloads as a table, with the matrices and populations under it."""

from typing import Any

from ahsar.cli.console import console, print_json, print_table
from ahsar.cli.options import Json


def workloads(as_json: Json = False) -> None:
    """List the workloads, matrices and populations."""
    if as_json:
        print_json(listed())
    else:
        print_table(console(), workloads_table())


def listed() -> dict[str, Any]:
    """The same as plain values: of each workload the title and, by budget, steps, target and hash; cells of each matrix;
    the hash of each population."""
    from ahsar.lab.spec import population, workload
    from ahsar.lab.study import cells

    specs = {name: {kind: workload.load(name, kind == "quick") for kind in ("full", "quick")} for name in workload.names()}
    return {
        "workloads": {
            name: {
                "title": both["full"].title,
                **{
                    kind: {"steps": spec.budget.steps, "target": spec.target.value, "hash": spec.hash}
                    for kind, spec in both.items()
                },
            }
            for name, both in specs.items()
        },
        "matrices": {name: [cell.name for cell in cells.load(name).cells] for name in cells.names()},
        "populations": {name: population.load(name).hash for name in population.names()},
    }


def workloads_table() -> Any:
    """A rich table, two rows, its full and its quick budget, per workload that comes with ahsar."""
    from rich import box
    from rich.table import Table

    from ahsar.lab.spec import population, workload
    from ahsar.lab.study import cells

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("name", "what", "steps", "target", "hash"):
        table.add_column(heading, no_wrap=heading != "what", justify="right" if heading in ("steps", "target") else "left")
    for name in workload.names():
        for quick in (False, True):
            spec = workload.load(name, quick)
            shown = (f"{spec.budget.steps}", f"{spec.target.value:g}", spec.hash)
            table.add_row("  --quick" if quick else name, "" if quick else spec.title, *shown, style="dim" if quick else "")
    lists = ", ".join(f"{name} ({len(cells.load(name).cells)} cells)" for name in cells.names())
    drawn = ", ".join(f"{name} (hash {population.load(name).hash})" for name in population.names())
    table.caption, table.caption_justify = f"Matrices: {lists}. Populations: {drawn}.", "left"
    return table
