"""Owns the ``torch.func`` namespace; re-exports only. May import the files beside it."""

from ._jacobians import hessian, jacfwd, jacrev
from ._modules import functional_call, stack_module_state
from ._transforms import debug_unwrap, functionalize, grad, grad_and_value, jvp, linearize, vjp
from ._vmap import vmap

__all__ = [
    "debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp",
    "linearize", "stack_module_state", "vjp", "vmap",
]  # fmt: skip
