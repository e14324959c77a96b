"""Rates, scales and gain in a CSV file, one number per row: every plotting tool reads it, and a resumed run goes on in it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ahsar.errors import DataError
from ahsar.files import write_whole

HEADER = ["step", "name", "value"]


class CSVLogger:
    """Appends to `path`. Fabric takes it as it takes its own loggers, `Fabric(loggers=CSVLogger("run.csv"))`; theirs for CSV
    begins a new file where a run goes on.

    A run that resumes from a checkpoint repeats some steps: rows from its first step on are dropped, so that each is there
    once. A row that a killed process left incomplete is dropped too.

    Raises:
        DataError: the file exists and is no such log.
    """

    def __init__(self, path: str | Path):
        self.path: Path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._resumed = self.path.exists() and self.path.stat().st_size > 0
        if self._resumed and self._complete_rows()[:1] != [HEADER]:
            raise DataError(f"{self.path} does not start with {','.join(HEADER)}: it is no log of CSVLogger; name another file")
        self.file: TextIO = self.path.open("a", newline="", encoding="utf-8")
        self.writer: Any = csv.writer(self.file)  # of a class that has no public name
        if not self._resumed:
            self.writer.writerow(HEADER)
            self.file.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers at an optimiser step: `homeostat.readings()`, and any of your own."""
        if self._resumed:
            self._drop(step)
        self.writer.writerows([step, name, value] for name, value in metrics.items())
        self.file.flush()

    def close(self) -> None:
        """Close the file; what was logged is in it already."""
        self.file.close()

    def _complete_rows(self) -> list[list[str]]:
        text = self.path.read_bytes().decode("utf-8", errors="replace")
        return list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))

    def _drop(self, step: int) -> None:
        """Keep the rows before `step`, in a new file that takes the old one's place at once."""
        self._resumed = False
        header, *rows = self._complete_rows()
        self.file.close()
        kept = io.StringIO(newline="")
        csv.writer(kept).writerows([header, *(row for row in rows if int(row[0]) < step)])
        write_whole(self.path, kept.getvalue())
        self.file = self.path.open("a", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
