"""Every error that ahsar raises on purpose. Each message says what happened, where, and how to mend it."""


class AhsarError(Exception):
    """Base of all errors raised by ahsar; the command line prints it in one line and exits with status 2."""


class ConfigError(AhsarError, ValueError):
    """A field of `Config` is out of its range."""


class AttachError(AhsarError):
    """A model cannot be attached to; it was left as it was."""


class AdapterError(AhsarError):
    """An adapter cannot find the threshold or the spikes of a layer."""


class SensingError(AhsarError):
    """The controller was stepped without rates to act on."""


class StateError(AhsarError):
    """A saved state does not belong to this model or this version."""


class ExportError(AhsarError):
    """A model cannot be exported or baked as asked; no file was written."""


class WorkloadError(AhsarError):
    """A workload, an arm or one of its fields is unknown or out of range."""


class DataError(AhsarError):
    """A data file is missing, unreadable or not what its workload expects."""


class ResultsError(AhsarError):
    """A results folder is not usable for what was asked."""
