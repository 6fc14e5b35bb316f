"""``torch.backends.openmp``: XLA has threads of its own. Imports nothing."""


def is_available() -> bool:
    """False."""
    return False
