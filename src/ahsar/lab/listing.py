"""The workloads and arms as a table."""

from typing import Any

from ahsar.lab import workload


def workloads_table() -> Any:
    """A rich table, one row per workload that comes with ahsar."""
    from rich.table import Table

    table = Table(title="workloads")
    for heading in ("name", "what", "data", "layers", "steps (quick)", "target (quick)", "hash (quick)"):
        table.add_column(heading)
    for name in workload.names():
        full, quick = workload.load(name), workload.load(name, quick=True)
        table.add_row(
            name,
            full.title,
            full.data.name,
            str(full.model.depth + bool(full.model.hidden)),
            f"{full.budget.steps} ({quick.budget.steps})",
            f"{full.target.value:g} ({quick.target.value:g})",
            f"{full.hash} ({quick.hash})",
        )
    return table
