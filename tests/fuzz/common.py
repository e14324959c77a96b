"""What both fuzzers share: how many examples, and no warnings."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import settings


def examples(share: int) -> int:
    """How many to try: `share` in `make test`, 50 times as many with `--hypothesis-profile full`."""
    return share * (50 if settings.get_current_profile_name() == "full" else 1)


@contextmanager
def quiet() -> Iterator[None]:
    """The controller and the frameworks may warn of whatever is done to them here; what they say is tested elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
