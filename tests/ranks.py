"""Starting processes that train together, for tests: one function on every rank, its results through files."""

import datetime
import os
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 120  # seconds after which processes that wait for each other fail
Work = Callable[[], Any]


def together(before: Work, work: Callable[[Any], Any], world: int, folder: Path) -> list[Any]:
    """What `work` returns on each of `world` ranks; it gets what `before` returned before the group was up."""
    context = spawn(_rank, (before, work, world, str(folder)), nprocs=world, join=False)
    assert context is not None
    end = time.monotonic() + LIMIT
    try:
        while not context.join(timeout=1):
            assert time.monotonic() < end, "the processes wait for each other"
    finally:
        for process in context.processes:
            assert process is not None
            if process.is_alive():
                process.kill()
            process.join(10)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def as_a_user(command: list[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run a command that starts ranks; it must end well. A shutdown that PyTorch aborted is tried again."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for _ in range(3):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
        # PyTorch's own shutdown of a rank aborts now and then once all is done
        if "terminate called without an active exception" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return done
    raise AssertionError(f"PyTorch's shutdown of {' '.join(command)} aborted three times")


def _rank(rank: int, before: Work, work: Callable[[Any], Any], world: int, folder: str) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ["RANK"] = str(rank)
    early = before()
    timeout = datetime.timedelta(seconds=LIMIT // 2)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=timeout)
    torch.save(work(early), f"{folder}/{rank}.pt")
    dist.barrier()
    # All is saved. PyTorch's own shutdown sometimes aborts ("terminate called without an active exception"), and a process
    # group that goes while Python holds its lock may wait for gloo's thread for ever.
    os._exit(0)
