"""Runs the notebooks of examples/notebooks, each in a kernel of its own; `python -m tests.notebooks` stores what they print."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# SciencePlots, which SpikingJelly's plots import, calls what Matplotlib deprecates (pyproject.toml has the same exception)
STRICT = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The (read_style_directory|update_nested_dict) function was deprecated")
"""
QUIET = ["--log-level=ERROR"]  # of the kernel's own notes


def read(path: Path) -> NotebookNode:
    """A notebook as it is stored, of format 4."""
    return nbformat.read(path, as_version=4)


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    """Its code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: NotebookNode) -> None:
    """Run all cells, whose outputs become those of this run; a warning is an error. One thread, if the environment says so.

    Raises:
        CellExecutionError: of nbclient: a cell raised; the message has its code and the traceback.
    """
    place = {"metadata": {"path": str(FOLDER)}}
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    notebook.cells.append(nbformat.v4.new_code_cell("warnings.resetwarnings()"))  # the kernel's own are no affair of ours
    options = {"timeout": None, "kernel_name": "python3", "coalesce_streams": True, "extra_arguments": QUIET}
    try:
        NotebookClient(notebook, resources=place, **options).execute()
    finally:
        del notebook.cells[0], notebook.cells[-1]
    for number, cell in enumerate(code_of(notebook), 1):
        cell.execution_count = number
        cell.metadata.clear()  # when it ran
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number


def store(path: Path) -> None:
    """Run a notebook, and write it with its outputs."""
    notebook = read(path)
    run(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in [FOLDER / name for name in sys.argv[1:]] or NOTEBOOKS:
        store(path)
        print(path.name, f"{path.stat().st_size / 1000:.0f} kB")
