"""Fabric needs no file of ours: it wraps model and optimizer, and attaching works on either side of that."""

from typing import Any

import pytest
from torch import nn

import ahsar
from ahsar.integrations.csv import CSVLogger
from tests import models

fabric: Any = pytest.importorskip("lightning_fabric", exc_type=ImportError)


@pytest.mark.parametrize("early", [True, False])
def test_it_trains_as_a_plain_loop(early: bool, tmp_path: Any) -> None:
    run = fabric.Fabric(accelerator="cpu", devices=1)
    plain, model = models.build("spikingjelly"), models.build("spikingjelly")
    optimizers = [models.adam(plain), models.adam(model)]
    wanted = ahsar.attach(plain, optimizers[0])
    homeostat = ahsar.attach(model, optimizers[1]) if early else None
    wrapped, optimizer = run.setup(model, optimizers[1])
    homeostat = homeostat or ahsar.attach(model, optimizer)
    for step in range(6):
        models.train_step(plain, optimizers[0], step)
        x, y = models.batch(step)
        optimizer.zero_grad()
        run.backward(nn.functional.cross_entropy(wrapped(x), y))
        optimizer.step()
    assert homeostat.steps == 6 and homeostat.scales == wanted.scales != dict.fromkeys(wanted.scales, 1.0)
    run.save(tmp_path / "all.ckpt", {"model": wrapped, "homeostat": homeostat.state_dict()})
    again = models.build("spikingjelly")
    saved = run.load(tmp_path / "all.ckpt")
    again.load_state_dict(saved["model"])
    loaded = ahsar.attach(again)
    loaded.load_state_dict(saved["homeostat"])
    assert str(loaded.state_dict()) == str(homeostat.state_dict())


def test_its_loggers_and_ours_for_csv_get_the_same_numbers(tmp_path: Any) -> None:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    homeostat = ahsar.attach(models.build())
    loggers = [CSVLogger(tmp_path / "run.csv"), TensorBoardLogger(tmp_path / "board", name="one", version="")]
    run = fabric.Fabric(accelerator="cpu", devices=1, loggers=loggers)
    for step in (1, 2):
        homeostat.model(models.batch(step)[0])
        homeostat.step()
        run.log_dict(homeostat.readings(), step)
    loggers[0].close()
    loggers[1].finalize("success")
    board = EventAccumulator(str(tmp_path / "board" / "one")).Reload()
    header, *rows = [line.split(",") for line in (tmp_path / "run.csv").read_text().splitlines()]
    assert header == ["step", "name", "value"] and len(rows) == 2 * len(homeostat.readings())
    for name in homeostat.readings():
        shown = {event.step: event.value for event in board.Scalars(name)}
        assert shown == {int(row[0]): pytest.approx(float(row[2])) for row in rows if row[1] == name}
