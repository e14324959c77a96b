"""One file per framework: where the threshold is, and where the spikes are."""

from .generic import register_adapter
from .registry import Adapter, Skip, find, is_own, package_of, register, unlimited, unregister

__all__ = ["Adapter", "Skip", "find", "is_own", "package_of", "register", "register_adapter", "unlimited", "unregister"]
