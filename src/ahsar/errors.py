"""Every error that ahsar raises on purpose. Each message says what happened, where, and how to mend it."""


class AhsarError(Exception):
    """Base of all errors raised by ahsar; the command line prints it in one line and exits with status 2.

    Examples:
        >>> try:
        ...     ahsar.attach(nn.Linear(2, 3))
        ... except ahsar.AhsarError as error:
        ...     print(str(error)[:45])
        no spiking layer to regulate in Linear. Modul
    """


class ConfigError(AhsarError, ValueError):
    """A field of `Config` is out of its range.

    Examples:
        >>> ahsar.Config(set_point=2)
        Traceback (most recent call last):
        ahsar.errors.ConfigError: Config.set_point = 2: must be a number in (0, 1)
    """


class AttachError(AhsarError):
    """A model cannot be attached to; it was left as it was.

    Examples:
        >>> ahsar.attach(nn.Linear(2, 3))
        Traceback (most recent call last):
        ahsar.errors.AttachError: no spiking layer to regulate in Linear. ...
    """


class AdapterError(AhsarError):
    """An adapter cannot find the threshold or the spikes of a layer.

    Examples:
        >>> ahsar.register_adapter(nn.ReLU, threshold=0.5)
        Traceback (most recent call last):
        ahsar.errors.AdapterError: register_adapter: threshold = 0.5: give the name of the attribute, e.g. 'threshold'
    """


class SensingError(AhsarError):
    """The controller was stepped without rates to act on.

    Examples:
        >>> ahsar.attach(snn.Leaky(beta=0.9)).step()
        Traceback (most recent call last):
        ahsar.errors.SensingError: step() without a training forward since the last update: ...
    """


class StateError(AhsarError):
    """A saved state does not belong to this model or this version.

    Examples:
        >>> ahsar.attach(snn.Leaky(beta=0.9)).load_state_dict({})
        Traceback (most recent call last):
        ahsar.errors.StateError: this is no state of a Homeostat of version 2 (its version says None)
    """


class ExportError(AhsarError):
    """A model cannot be exported or baked as asked; no file was written.

    Examples:
        >>> import ahsar.export
        >>> ahsar.export.to_nir(nn.Linear(2, 3), torch.rand(1, 2))
        Traceback (most recent call last):
        ahsar.errors.ExportError: to_nir() needs neurons of one framework out of ...
    """


class WorkloadError(AhsarError):
    """A workload, an arm or one of its fields is unknown or out of range.

    Examples:
        >>> from ahsar.lab import arms
        >>> arms.build("magic")
        Traceback (most recent call last):
        ahsar.errors.WorkloadError: unknown arm 'magic': choose from ...
    """


class DataError(AhsarError):
    """A data file is missing, unreadable or not what its workload expects.

    Examples:
        >>> from ahsar.lab import data
        >>> from ahsar.lab.spec import workload
        >>> data.load(workload.load("fashion"), "no/such/folder")
        Traceback (most recent call last):
        ahsar.errors.DataError: ...no/such/folder...
    """


class ResultsError(AhsarError):
    """A results folder is not usable for what was asked.

    Examples:
        >>> from pathlib import Path
        >>> from ahsar.lab.results.records import read
        >>> read(Path("no/such/folder"))
        Traceback (most recent call last):
        ahsar.errors.ResultsError: ...no/such/folder...
    """
