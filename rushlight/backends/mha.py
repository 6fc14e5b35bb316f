"""``torch.backends.mha``: whether encoders may skip padded positions in evaluation. Imports nothing."""

_is_fastpath_enabled = True


def get_fastpath_enabled() -> bool:
    """Whether the fast path may be taken; in rushlight it differs in what padded positions hold, not in speed."""
    return _is_fastpath_enabled


def set_fastpath_enabled(value: bool) -> None:
    """Allow the fast path or not."""
    global _is_fastpath_enabled
    _is_fastpath_enabled = value
