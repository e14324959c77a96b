"""All cases of the contract. A class of a framework that is in none of them, and not skipped, fails its framework's test."""

from . import (
    bindsnet_cases,
    braincog_cases,
    generic_cases,
    norse_cases,
    rockpool_cases,
    sinabs_cases,
    snntorch_cases,
    spikingjelly_cases,
    tracetorch_cases,
)
from .case import Case

CASES: list[Case] = [
    *spikingjelly_cases.CASES,
    *snntorch_cases.CASES,
    *norse_cases.CASES,
    *sinabs_cases.CASES,
    *rockpool_cases.CASES,
    *tracetorch_cases.CASES,
    *braincog_cases.CASES,
    *bindsnet_cases.CASES,
    *generic_cases.CASES,
]
