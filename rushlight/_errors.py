"""Owns the helpers that phrase errors as object, expected, received, remedy.

May import nothing from rushlight.
"""


def not_supported(what: str, instead: str) -> NotImplementedError:
    """Build the error for an option rushlight does not have; names the option and the alternative."""
    return NotImplementedError(f"{what} is not supported by rushlight. {instead}")


def type_name(value: object) -> str:
    """The name torch prints for the type of ``value`` in its messages."""
    return type(value).__name__


def wrong_type(function: str, argument: str, position: int, expected: str, received: object) -> TypeError:
    """torch's wording for an argument of the wrong type."""
    return TypeError(
        f"{function}(): argument '{argument}' (position {position}) must be {expected}, not {type_name(received)}"
    )
