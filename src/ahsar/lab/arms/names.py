"""How an arm's name is made: KIND, or KIND@NUMBER."""


def kind_of(arm: str) -> str:
    """`rate-loss` of `rate-loss@0.1`; a name without a number is its own kind."""
    return arm.partition("@")[0]


def number_of(arm: str) -> str:
    """`0.1` of `rate-loss@0.1`; "" without one."""
    return arm.partition("@")[2]


def constant_scale(arm: str) -> float | None:
    """The scale of a constant arm (`constant@0.5` is 0.5), None for any other."""
    name, scale = kind_of(arm), number_of(arm)
    return float(scale) if name == "constant" and scale else None
