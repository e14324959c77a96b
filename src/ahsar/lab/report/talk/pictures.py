"""`ahsar figures talk`: the pictures of whatever a results folder holds."""

from pathlib import Path

from ahsar.lab.report.talk import comparison, matrix, population, slide
from ahsar.lab.results.matrix import is_matrix
from ahsar.lab.results.population import is_population


def write(folder: Path, out: Path) -> list[Path]:
    """Write the pictures of a comparison, a matrix or a population into `out`, as PNG and SVG; returns their paths.

    Raises:
        ResultsError: the folder holds none of these, nothing in it has run, or AHSAR and the baseline never ran both.
    """
    kind = matrix if is_matrix(folder) else population if is_population(folder) else comparison
    return slide.write(kind.slides(folder), out)
