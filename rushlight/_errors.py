"""Owns the helpers that phrase errors as object, expected, received, remedy.

May import nothing from rushlight.
"""

import sys


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


def missing_name(module: str, name: str) -> AttributeError:
    """The error of a module-level ``__getattr__`` for a name that rushlight does not offer.

    Args:
        module: the module's ``__name__``.
        name: the attribute asked for.

    Example:
        >>> print(missing_name("rushlight.nn", "Conv9d"))
        module 'torch.nn' has no attribute 'Conv9d' in rushlight; docs/conformance.md lists what rushlight offers
    """
    shown = "torch" + module.removeprefix(__name__.partition(".")[0])
    return AttributeError(
        f"module '{shown}' has no attribute '{name}' in rushlight; docs/conformance.md lists what rushlight offers",
        name=name,
        obj=sys.modules.get(module),
    )
