"""In any order of a user's actions an attached net does what its twin does, whose thresholds someone multiplies by hand."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .common import examples
from .machine import Machine
from .nets import FRAMEWORKS

# drawing a net takes as long as running it, and some frameworks cannot run in every dtype
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.mark.parametrize("framework", [name for name, cases in FRAMEWORKS.items() if cases])
def test_any_order_of_actions(framework: str) -> None:
    machine = type("Machine", (Machine,), {"framework": framework})
    limits = settings(max_examples=examples(22), stateful_step_count=12, suppress_health_check=SLOW)
    run_state_machine_as_test(machine, settings=limits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # the compiler's own
@pytest.mark.parametrize("framework", ["generic", "snntorch"])
def test_any_order_of_actions_on_nets_that_are_compiled(framework: str) -> None:
    if not FRAMEWORKS[framework]:
        pytest.skip(f"{framework} is not installed")
    machine = type("Machine", (Machine,), {"framework": framework, "compiles": True})
    limits = settings(max_examples=examples(8), stateful_step_count=12, suppress_health_check=SLOW)
    run_state_machine_as_test(machine, settings=limits)
