"""How an arm's name is made: KIND, or KIND@NUMBER."""


def kind_of(arm: str) -> str:
    """`rate-loss` of `rate-loss@0.1`; a name without a number is its own kind."""
    return arm.partition("@")[0]


def number_of(arm: str) -> str:
    """`0.1` of `rate-loss@0.1`; "" without one."""
    return arm.partition("@")[2]
