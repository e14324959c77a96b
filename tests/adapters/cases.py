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

FRAMEWORKS = (spikingjelly_cases, snntorch_cases, norse_cases, sinabs_cases, rockpool_cases, tracetorch_cases, braincog_cases,
              bindsnet_cases, generic_cases)  # fmt: skip
CASES: list[Case] = [case for framework in FRAMEWORKS for case in framework.CASES]
