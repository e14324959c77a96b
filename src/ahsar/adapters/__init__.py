"""One file per framework: where the threshold is, and where the spikes are."""

from ._base import Adapter, Skip, find, register, unregister
from .generic import register_adapter

__all__ = ["Adapter", "Skip", "find", "register", "register_adapter", "unregister"]
