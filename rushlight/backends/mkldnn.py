"""``torch.backends.mkldnn``: never there. Imports nothing."""

enabled = False


def is_available() -> bool:
    """False."""
    return False
