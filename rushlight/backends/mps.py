"""``torch.backends.mps``: never there. Imports nothing."""


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False
