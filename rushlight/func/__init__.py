"""Owns the ``torch.func`` namespace; re-exports only. May import the files beside it."""

from ._modules import functional_call, stack_module_state

__all__ = ["functional_call", "stack_module_state"]
