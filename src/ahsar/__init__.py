"""Homeostatic regulation of firing rates: one line makes a spiking network train faster and more reliably."""

from .adapters import register_adapter
from .attach import attach, attached
from .config import Config
from .discovery import discover
from .errors import (
    AdapterError,
    AhsarError,
    AttachError,
    ConfigError,
    DataError,
    ExportError,
    ResultsError,
    SensingError,
    StateError,
    WorkloadError,
)
from .homeostat import Homeostat
from .travel import scales_in

__version__ = "0.1.0"

__all__ = [
    "AdapterError",
    "AhsarError",
    "AttachError",
    "Config",
    "ConfigError",
    "DataError",
    "ExportError",
    "Homeostat",
    "ResultsError",
    "SensingError",
    "StateError",
    "WorkloadError",
    "attach",
    "attached",
    "discover",
    "register_adapter",
    "scales_in",
]
