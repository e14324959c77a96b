"""Warnings that come once and point at the user's line, however many of our files and of PyTorch's lie between."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

_BETWEEN = tuple(f"{Path(file).parent}/" for file in (__file__, torch.__file__))


def say(said: set[str], messages: Mapping[str, str]) -> None:
    """Warn of each thing once per key; `said` holds the keys so far. Several keys may share one message: it comes once."""
    news = [message for key, message in messages.items() if key not in said]
    said.update(messages)
    for message in dict.fromkeys(news):
        warn(message)


def warn(message: str) -> None:
    """A `UserWarning` of the innermost line that is neither ours nor PyTorch's, or of the outermost where there is none."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
