"""A callback for Lightning's Trainer, imported as `lightning.pytorch` or as `pytorch_lightning`."""

import importlib.util
import sys
from typing import Any

import ahsar
from ahsar.discovery import Selection


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
    """

    metric: str | None
    higher_is_better: bool
    config: ahsar.Config | None
    layers: Selection
    optimizer: int

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
        self.homeostat: ahsar.Homeostat | None = None  # from the first fit on
        self._pending: dict[str, Any] = {}  # read from a checkpoint, not yet in use

    def _attach(self, pl_module: Any) -> ahsar.Homeostat:
        own = self.homeostat
        if own is None or own.model is not pl_module or not (own.attached or self._pending):
            own = self.homeostat = ahsar.attach(pl_module, config=self.config, layers=self.layers)
        if self._pending:  # refused after bake(): the model may hold scaled thresholds already
            own.load_state_dict(self._pending)
            self._pending = {}
        return own

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach, or go on where the model is attached, and follow the optimizer.

        Raises:
            AttachError: the module has no optimizer of that number, or none of its layers can be regulated.
        """
        if self.optimizer >= len(trainer.optimizers):
            raise ahsar.AttachError(f"AhsarCallback(optimizer={self.optimizer}) of {len(trainer.optimizers)} optimizers")
        self._attach(pl_module).follow(trainer.optimizers[self.optimizer])
        self._logged = trainer.global_step

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        """Log rates, scales and gain as `ahsar/...`, every `log_every_n_steps` steps of the Trainer."""
        step, every = trainer.global_step, trainer.log_every_n_steps
        # rarely: readings are copied from the device
        if every and step % every == 0 and step != self._logged and trainer.loggers and self.homeostat is not None:
            self._logged, values = step, {f"ahsar/{name}": value for name, value in self.homeostat.readings().items()}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Close an epoch with the metric, but after the sanity check.

        Raises:
            ConfigError: no metric of that name was logged.
        """
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self.metric is not None:
            self._close_epoch(trainer, self.metric)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Close an epoch where there is no validation to do so; raises as `on_validation_end` does."""
        if not trainer.enable_validation and self.metric is not None:
            self._close_epoch(trainer, self.metric)

    def _close_epoch(self, trainer: Any, metric: str) -> None:
        if metric not in (metrics := trainer.callback_metrics):
            raise ahsar.ConfigError(
                f"AhsarCallback(metric={metric!r}): no such metric was logged; there are "
                f"{', '.join(sorted(metrics)) or 'none'}. Log it with self.log in validation_step, or name another one"
            )
        if self.homeostat is not None and self.homeostat.state.updated:
            self.homeostat.epoch(float(metrics[metric]), self.higher_is_better)

    def _take_over(self, trainer: Any, pl_module: Any) -> None:
        if self._pending:  # a checkpoint of the model holds the original thresholds: evaluation needs the scales too
            self._attach(pl_module)

    on_train_start = on_validation_start = on_test_start = on_predict_start = _take_over

    def state_dict(self) -> dict[str, Any]:
        """The controller's state for a checkpoint; empty before the first fit."""
        return self._pending or ({} if self.homeostat is None else self.homeostat.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's state until the model is there to take it."""
        self._pending = state_dict  # strategies differ in whether this comes before or after on_fit_start
