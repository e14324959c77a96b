"""Homeostatic regulation of firing rates: one line makes a spiking network train faster and more reliably.

Names are imported when they are first asked for: what needs no PyTorch, as the command line's help, does not wait for it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import register_adapter
    from .attaching import attach, attached
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

# where each name is defined; errors, which are most, stand in a file of their own
_HOMES = dict.fromkeys(__all__, "errors") | {
    "Config": "config",
    "Homeostat": "homeostat",
    "attach": "attaching",
    "attached": "attaching",
    "discover": "discovery",
    "register_adapter": "adapters",
    "scales_in": "travel",
}


def __getattr__(name: str) -> Any:
    """A public name, or a module of the package, imported now."""
    if name in _HOMES:
        globals()[name] = found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return found
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
