"""Rates, scales and gain in TensorBoard."""

from pathlib import Path

from ahsar.homeostat import Homeostat


class TensorBoardLogger:
    """Writes to `folder`; view it with `tensorboard --logdir folder`.

    Raises:
        ImportError: tensorboard is not installed (`pip install tensorboard`, or the extra `ahsar[lab]`).
    """

    def __init__(self, folder: str | Path):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def log(self, homeostat: Homeostat, step: int) -> None:
        """Log the state of the controller at an optimiser step. Copies from the device: call it now and then."""
        self.scalars(step, homeostat.readings())

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Log numbers of your own beside them."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
