"""``torch.backends.opt_einsum``: JAX always plans einsum with it. Imports nothing."""

enabled = True
strategy = "auto"


def is_available() -> bool:
    """True: JAX depends on opt_einsum."""
    return True
