"""The Lightning callback: as a plain loop would, with every part of the Trainer that differs from one."""

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import ahsar
from tests import models
from tests.models import MOVING

L: Any = pytest.importorskip("lightning.pytorch", exc_type=ImportError)
PACKAGES = ["lightning.pytorch", "pytorch_lightning"]
CONFIG = replace(MOVING, frugal=True, floor=0.0)
pytestmark = [
    # Lightning 2.6 asks torch for what torch renamed
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    # it advises more workers than such small data needs
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
]


def module_of(package: Any, scheduled: list[float] | None = None) -> Any:
    """A LightningModule around the tests' model; logs `val_acc` from a list of numbers, one per validation."""

    class Module(package.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.validations = models.build("buffer"), 0

        def training_step(self, batch: Any, index: int) -> Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.model(batch[0])
            value = 0.5 if scheduled is None else scheduled[self.validations % len(scheduled)]
            self.log("val_acc", value)

        def on_validation_epoch_end(self) -> None:
            self.validations += not self.trainer.sanity_checking

        def configure_optimizers(self) -> Any:
            return models.adam(self)

    return Module()


def loader(batches: int = 6) -> DataLoader:
    parts = [models.batch(step, 8) for step in range(batches)]
    return DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*parts, strict=True))), batch_size=8)


def trainer_of(package: Any, callback: Any, folder: Path, **options: Any) -> Any:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "enable_checkpointing": False}
    settings = {"accelerator": "cpu", "max_epochs": 3, "default_root_dir": folder, "log_every_n_steps": 1, **quiet, **options}
    return package.Trainer(callbacks=[callback], **settings)


def by_hand(metrics: list[float], accumulate: int = 1) -> ahsar.Homeostat:
    """The same training in a plain loop."""
    model = models.build("buffer")
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=CONFIG)
    for metric in metrics:
        for index, (x, y) in enumerate(loader()):
            (nn.functional.cross_entropy(model(x), y) / accumulate).backward()
            if (index + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        homeostat.epoch(metric)
    return homeostat


def as_by_hand(got: ahsar.Homeostat, wanted: ahsar.Homeostat) -> None:
    """Bit for bit; only the names have the module's attribute in front."""
    states = [got.state_dict(), wanted.state_dict()]
    states[1]["layers"] = {f"model.{name}": value for name, value in states[1]["layers"].items()}
    states[1]["arrivals"] = [f"model.{name}" for name in states[1]["arrivals"]]
    for record in states[1]["history"]:
        record |= {part: {f"model.{name}": value for name, value in record[part].items()} for part in ("rates", "scales")}
    for state in states:
        for record in state["history"]:
            record["metric"] = torch.tensor(record["metric"]).item()  # Lightning keeps metrics in float32
    assert str(states[0]) == str(states[1])
    for ours, theirs in zip(got.model.parameters(), wanted.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


METRICS = [0.5, 0.75, 0.25]


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_trains_as_a_plain_loop(name: str, accumulate: int, tmp_path: Path) -> None:
    from ahsar.integrations.lightning import AhsarCallback

    package = importlib.import_module(name)
    callback: Any = AhsarCallback(config=CONFIG)
    module = module_of(package, METRICS)
    trainer = trainer_of(package, callback, tmp_path, accumulate_grad_batches=accumulate)
    trainer.fit(module, loader(), loader(1))
    as_by_hand(callback.homeostat, by_hand(METRICS, accumulate))
    assert callback.homeostat.steps == 18 // accumulate and callback.homeostat.epochs == 3  # not one more for the sanity check
    assert callback.homeostat.gain != 1
    trainer.validate(module, loader(1), verbose=False)
    assert callback.homeostat.epochs == 3


def fit(callback: Any, folder: Path, validate: bool = True, module: Any = None, **options: Any) -> Any:
    trainer = trainer_of(L, callback, folder, **options)
    trainer.fit(module_of(L) if module is None else module, loader(), loader(1) if validate else None)
    return trainer


@pytest.fixture
def callback_of() -> Any:
    from ahsar.integrations.lightning import AhsarCallback

    return AhsarCallback


def test_an_unknown_metric_is_told_with_those_there_are(callback_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ahsar.ConfigError, match=r"metric='val_auc'.*there are train_loss, val_acc\. Log it with self\.log"):
        fit(callback_of("val_auc"), tmp_path)


def test_without_validation_the_epoch_ends_with_its_training(callback_of: Any, tmp_path: Path) -> None:
    callback = callback_of("train_loss", higher_is_better=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*validation_step.*but have no.*val_dataloader")  # as is meant here
        fit(callback, tmp_path, validate=False)
    assert callback.homeostat.epochs == 3


def test_no_metric_leaves_the_slow_loop_out(callback_of: Any, tmp_path: Path) -> None:
    callback = callback_of(None, layers=["model.neurons.1"])
    fit(callback, tmp_path)
    assert callback.homeostat.epochs == 0 and list(callback.homeostat.scales) == ["model.neurons.1"]


def test_every_logger_gets_rates_scales_and_gain(callback_of: Any, tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback, loggers = callback_of(), [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "board")]
    fit(callback, tmp_path, logger=loggers, log_every_n_steps=4, accumulate_grad_batches=2, max_epochs=4)
    wanted = {f"ahsar/{what}/model.neurons.{i}" for what in ("rate", "scale") for i in (0, 1)} | {
        "ahsar/gain",
    }
    head = (Path(loggers[0].log_dir) / "metrics.csv").read_text().splitlines()[0].split(",")
    assert wanted <= set(head)
    board = EventAccumulator(str(loggers[1].log_dir)).Reload()
    assert wanted <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("ahsar/gain")] == [4, 8, 12]


def test_mlflow(callback_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", exc_type=ImportError)
    from lightning.pytorch.loggers import MLFlowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    callback, logger = callback_of(), MLFlowLogger(tracking_uri=(tmp_path / "runs").as_uri())
    fit(callback, tmp_path, logger=logger, max_epochs=1)
    metrics = mlflow.MlflowClient(logger._tracking_uri).get_run(logger.run_id).data.metrics
    assert metrics["ahsar/scale/model.neurons.0"] == pytest.approx(callback.homeostat.scales["model.neurons.0"])


def test_a_checkpoint_is_plain_and_keeps_the_model_as_it_is(callback_of: Any, tmp_path: Path) -> None:
    callback, module = callback_of(), module_of(L)
    names = list(module.state_dict())
    trainer = fit(callback, tmp_path, module=module)
    trainer.save_checkpoint(tmp_path / "all.ckpt")
    saved = torch.load(tmp_path / "all.ckpt", weights_only=True)
    assert list(saved["state_dict"]) == names
    assert saved["callbacks"]["AhsarCallback"]["epochs"] == 3
    module_of(L).load_state_dict(saved["state_dict"])


def test_a_fresh_process_evaluates_with_the_scales_of_the_checkpoint(callback_of: Any, tmp_path: Path) -> None:
    callback, module = callback_of(), module_of(L)
    fit(callback, tmp_path, module=module).save_checkpoint(tmp_path / "all.ckpt")
    again, other = callback_of(), module_of(L)
    trainer_of(L, again, tmp_path).validate(other, loader(1), ckpt_path=tmp_path / "all.ckpt", verbose=False, weights_only=True)
    assert again.homeostat.scales == callback.homeostat.scales
    x = models.batch(7)[0]
    assert torch.equal(other.model.eval()(x), module.model.eval()(x))
    module.train()
    fit(callback, tmp_path, module=module)  # fitting goes on with the same controller and the new optimizer alone
    assert callback.homeostat.steps == 36 and callback.homeostat.epochs == 6


def test_a_module_that_attaches_itself_has_the_scales_of_the_checkpoint(callback_of: Any, tmp_path: Path) -> None:
    callback, module = callback_of(), module_of(L)
    fit(callback, tmp_path, module=module).save_checkpoint(tmp_path / "all.ckpt")

    class Attached(type(module)):
        def __init__(self) -> None:
            super().__init__()
            self.scaled = ahsar.attach(self)

    again = Attached.load_from_checkpoint(tmp_path / "all.ckpt", weights_only=True)
    assert again.scaled.scales == callback.homeostat.scales
    x = models.batch(7)[0]
    assert torch.equal(again.eval().model(x), module.eval().model(x))


def test_a_callback_takes_up_the_checkpoint_of_another_module_than_its_last(callback_of: Any, tmp_path: Path) -> None:
    first = callback_of()
    trainer = fit(first, tmp_path)
    trainer.save_checkpoint(tmp_path / "all.ckpt")
    second, module = callback_of(), module_of(L)
    fit(second, tmp_path, max_epochs=1)  # with a module of its own
    trainer = trainer_of(L, second, tmp_path, max_epochs=3)
    trainer.fit(module, loader(), loader(1), ckpt_path=tmp_path / "all.ckpt", weights_only=True)  # no epoch is left
    assert second.homeostat.model is module and second.homeostat.scales == first.homeostat.scales
    second.homeostat.bake()
    with pytest.raises(ahsar.AttachError, match="after detach"):
        trainer.validate(module, loader(1), ckpt_path=tmp_path / "all.ckpt", verbose=False, weights_only=True)


def test_the_checkpoint_of_another_architecture_is_refused(callback_of: Any, tmp_path: Path) -> None:
    callback = callback_of()
    fit(callback, tmp_path).save_checkpoint(tmp_path / "all.ckpt")
    trainer = trainer_of(L, callback_of(layers=["model.neurons.1"]), tmp_path, max_epochs=4)
    with pytest.raises(ahsar.StateError, match=r"another model: it adds model\.neurons\.0"):
        trainer.fit(module_of(L), loader(), loader(1), ckpt_path=tmp_path / "all.ckpt", weights_only=True)


def test_one_of_several_optimizers_is_followed(callback_of: Any, tmp_path: Path) -> None:
    class Two(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.model, self.other = models.build(), nn.Linear(1, 1)

        def training_step(self, batch: Any, index: int) -> None:
            one, two = self.optimizers()
            nn.functional.cross_entropy(self.model(batch[0]), batch[1]).backward()
            if index % 3 == 2:
                one.step()
            two.step()

        def configure_optimizers(self) -> Any:
            return models.adam(self.model), models.adam(self.other)

    for index, steps in ((0, 2), (1, 6)):
        callback = callback_of(None, optimizer=index)
        fit(callback, tmp_path, module=Two(), validate=False, max_epochs=1)
        assert callback.homeostat.steps == steps
    with pytest.raises(ahsar.AttachError, match="of 2 optimizers"):
        fit(callback_of(None, optimizer=2), tmp_path, module=Two(), validate=False)


def test_without_lightning_the_cure_is_told(callback_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ahsar.integrations import lightning

    monkeypatch.setattr(lightning.sys, "modules", {})
    monkeypatch.setattr(lightning.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install lightning"):
        lightning._load()
