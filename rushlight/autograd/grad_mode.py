"""Owns ``torch.autograd.grad_mode``, another home of the gradient modes; re-exports only.

May import the tape's modes.
"""

from .._graph.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]
