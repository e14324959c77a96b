"""A callback for Lightning's Trainer, imported as `lightning.pytorch` or as `pytorch_lightning`."""

import importlib.util
import sys
from typing import Any

import ahsar
from ahsar.attach import Selection
from ahsar.integrations import readings


def _load() -> Any:
    """The Lightning that the program uses; where it has loaded none so far, the one that is there."""
    for name in sorted(["lightning.pytorch", "pytorch_lightning"], key=lambda name: name not in sys.modules):
        if name in sys.modules or importlib.util.find_spec(name.partition(".")[0]):
            return importlib.import_module(name)
    raise ImportError("AhsarCallback needs Lightning: pip install lightning")


Callback: Any = _load().Callback


class AhsarCallback(Callback):
    """Attaches the LightningModule when fitting starts and runs both loops; its state is part of every checkpoint.

    The fast loop steps with the optimizer, so once per accumulated gradient. The slow loop runs after each validation (after
    each training epoch where there is none). After fitting the model stays attached, with its scales applied:
    `callback.homeostat.bake()` writes them into the model, `detach()` takes them away.

    Args:
        metric: name of the validation metric, as given to `self.log`; None leaves the slow loop out.
        higher_is_better: False for a loss. config, layers: as for `ahsar.attach`.
        optimizer: which one to follow, where the module has several.

    Its attribute `homeostat` is the controller, None before the first fit.
    """

    def __init__(
        self,
        metric: str | None = "val_acc",
        higher_is_better: bool = True,
        config: ahsar.Config | None = None,
        layers: Selection = None,
        optimizer: int = 0,
    ):
        super().__init__()
        self.metric, self.higher_is_better, self.optimizer = metric, higher_is_better, optimizer
        self.config, self.layers = config, layers
        self.homeostat: ahsar.Homeostat | None = None
        self._pending: dict[str, Any] = {}  # read from a checkpoint before there was a controller

    def _attach(self, pl_module: Any) -> ahsar.Homeostat:
        if self.homeostat is None or not self.homeostat.attached or self.homeostat.model is not pl_module:
            self.homeostat = ahsar.attach(pl_module, config=self.config, layers=self.layers)
        if self._pending:
            self.homeostat.load_state_dict(self._pending)
            self._pending = {}
        return self.homeostat

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self.optimizer >= len(trainer.optimizers):
            raise ahsar.AttachError(f"AhsarCallback(optimizer={self.optimizer}) of {len(trainer.optimizers)} optimizers")
        self._attach(pl_module).follow(trainer.optimizers[self.optimizer])
        self._logged = trainer.global_step

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        step, every = trainer.global_step, trainer.log_every_n_steps
        due = every and step % every == 0 and step != self._logged  # rarely: readings are copied from the device
        if due and trainer.loggers and self.homeostat is not None:
            self._logged = step
            values = {f"ahsar/{name}": value for name, value in readings(self.homeostat).items()}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._close_epoch(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.enable_validation:
            self._close_epoch(trainer)

    def _close_epoch(self, trainer: Any) -> None:
        metrics = trainer.callback_metrics
        if self.metric is not None and self.metric not in metrics:
            raise ahsar.ConfigError(
                f"AhsarCallback(metric={self.metric!r}): no such metric was logged; there are "
                f"{', '.join(sorted(metrics)) or 'none'}. Log it with self.log in validation_step, or name another one"
            )
        if self.metric is not None and self.homeostat is not None and self.homeostat.updated:
            self.homeostat.epoch(float(metrics[self.metric]), self.higher_is_better)

    def _before_evaluation(self, trainer: Any, pl_module: Any) -> None:
        if self._pending:  # a checkpoint of the model holds the original thresholds: evaluation needs the scales too
            self._attach(pl_module)

    on_validation_start = on_test_start = on_predict_start = _before_evaluation

    def state_dict(self) -> dict[str, Any]:
        return self._pending if self.homeostat is None else self.homeostat.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.homeostat is None:
            self._pending = state_dict
        elif state_dict:
            self.homeostat.load_state_dict(state_dict)
