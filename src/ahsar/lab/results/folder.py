"""The results folder of one comparison: which workload it belongs to, its trials, and the merged records.

OUT/workload.json          what the folder belongs to
OUT/trials/NAME.jsonl      one finished trial, one line; NAME.jsonl.part while it runs, one line per evaluation
OUT/claims/NAME            taken by a worker
OUT/models/NAME.pt         the trained model and its controller's state, if asked for
OUT/trials.jsonl           all records, written at the end
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ahsar.errors import ResultsError, WorkloadError
from ahsar.files import write_whole
from ahsar.lab.results.provenance import Settings
from ahsar.lab.results.schema import Record, wrong
from ahsar.lab.spec.workload import Workload, from_dict

STOP = "stop"  # no trial has this name: theirs end in a seed


def read_record(path: Path) -> Record | None:
    """The record of one trial in its own file, or None if there is none; raises ResultsError if it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, RecursionError, ValueError) as error:
        raise ResultsError(f"{path} is not valid JSON ({error}): remove it, and its trial is run again") from None
    if said := wrong(record):
        raise ResultsError(f"{path}: the record {said}: remove it, and its trial is run again")
    return record


def records_in(folder: Path) -> Iterator[Record]:
    """The records of all trials that have a file of their own in the folder, as ARM-sSEED.jsonl."""
    for path in sorted(folder.glob("*-s*.jsonl")):
        if (record := read_record(path)) is not None:
            yield record


def read_about(path: Path, cure: str, **kinds: type) -> dict[str, Any]:
    """What a results folder says of itself, a table in JSON; `kinds` are the types of what it must hold.

    Raises:
        ResultsError: it cannot be read, or holds something else.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read ({error}): {cure}") from None
    if not isinstance(about, dict):
        raise ResultsError(f"{path} cannot be read (it is a {type(about).__name__}): {cure}")
    for name, kind in kinds.items():
        if not isinstance(about.get(name), kind):
            raise ResultsError(f"{path} cannot be read ({name} = {about.get(name)!r}): {cure}")
    return about


def about_of(folder: Path) -> dict[str, Any]:
    """What workload.json in a results folder says; {} where trials stand alone. Raises ResultsError if it is damaged."""
    manifest = folder / "workload.json"
    return read_about(manifest, "remove it; the trials stand by themselves") if manifest.exists() else {}


def commands_after(about: Mapping[str, Any], command: str) -> dict[str, Any]:
    """What a results folder says of the commands that worked on it, oldest first, once `command` goes on with it.

    Args:
        about: what it says now, {} if it is new; a folder of an earlier version knows its last command alone.
    """
    before = about.get("commands", [])
    if not isinstance(before, list) or (about and not before):
        return {"command": command}
    earlier = [known for known in before if known != command]
    return {"command": command, "commands": [*earlier, command]}


class Results:
    """A results folder; nothing is created before `open`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.trials: Path = folder / "trials"
        self.claims: Path = folder / "claims"
        self.manifest: Path = folder / "workload.json"

    def open(self, workload: Workload, command: str, settings: Settings) -> None:
        """Take the folder into use, or go on with it.

        Raises:
            ResultsError: it holds results of another workload, of an edited one, trials of other settings, or something else
                altogether.
        """
        known: dict[str, Any] = {}
        if self.manifest.exists():
            known = self._read_manifest()
            if known.get("hash") != workload.hash:
                raise ResultsError(
                    f"{self.folder} holds results of workload {known.get('name')!r} (hash {known.get('hash')}), not of "
                    f"{workload.name!r} (hash {workload.hash}): give another --out, or remove that folder"
                )
            self.check(settings)
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ResultsError(f"{self.folder} exists and holds no results of ahsar: give another --out")
        self.trials.mkdir(parents=True, exist_ok=True)
        about = {"name": workload.name, "hash": workload.hash, **commands_after(known, command), "workload": asdict(workload)}
        write_whole(self.manifest, json.dumps(about, indent=1))
        # what an earlier, interrupted run left
        shutil.rmtree(self.claims, ignore_errors=True)
        self.claims.mkdir()
        for part in self.trials.glob("*.part"):
            part.unlink()

    def check(self, settings: Settings) -> None:
        """Raises ResultsError if trials that are done had other settings."""
        settings.check(self.folder, records_in(self.trials))

    def _read_manifest(self) -> dict:
        return read_about(self.manifest, "give another --out", workload=dict)

    def finished(self, name: str) -> Record | None:
        """The record of a trial, or None if it has not ended."""
        return read_record(self.trials / f"{name}.jsonl")

    def model(self, name: str) -> Path:
        """Where a trial's trained model is kept, if at all."""
        return self.folder / "models" / f"{name}.pt"

    def read_workload(self) -> Workload:
        """The workload that the folder belongs to.

        Raises:
            ResultsError: there is none, or this version reads it as another one.
        """
        if not self.manifest.exists():
            raise ResultsError(f"{self.folder} holds no results of ahsar: give the --out of a comparison")
        known = self._read_manifest()
        try:
            workload = from_dict(known["workload"])
        except (KeyError, TypeError, WorkloadError) as error:
            raise ResultsError(f"{self.manifest}: its workload cannot be read ({error}): run the comparison anew") from None
        if workload.hash != known.get("hash"):
            raise ResultsError(f"{self.manifest}: its workload is not the one that ran (hash {known.get('hash')}): run it anew")
        return workload

    def forget(self, name: str) -> None:
        """Remove a trial's record, if there is one: it will run anew."""
        (self.trials / f"{name}.jsonl").unlink(missing_ok=True)

    def claim(self, name: str) -> bool:
        """Take a trial for this worker; False if another one has it."""
        try:
            os.close(os.open(self.claims / name, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def ask_to_stop(self) -> None:
        """Tell all workers to end at their next evaluation."""
        (self.claims / STOP).touch()

    @property
    def stopped(self) -> bool:
        """Whether workers were told to end."""
        return (self.claims / STOP).exists()

    def point(self, name: str, point: Record) -> None:
        """Note an evaluation of a running trial."""
        with (self.trials / f"{name}.jsonl.part").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": point["step"], "val_metric": point["val_metric"]}) + "\n")

    def finish(self, record: Record) -> None:
        """Store a record that is done, diverged or failed."""
        write_whole(self.trials / f"{record['trial']}.jsonl", json.dumps(record))

    def steps_done(self, name: str) -> int:
        """Steps of a running trial at its last evaluation; 0 if it has not begun."""
        try:
            lines = (self.trials / f"{name}.jsonl.part").read_text(encoding="utf-8").splitlines()
            return json.loads(lines[-1])["step"] if lines else 0
        except (OSError, ValueError, KeyError):  # just being written, or renamed
            return 0

    def merge(self, records: Iterable[Record]) -> Path:
        """Write trials.jsonl."""
        path = self.folder / "trials.jsonl"
        write_whole(path, "".join(json.dumps(record) + "\n" for record in records))
        return path
