"""Owns the exceptions of devices: what XLA raises when a program fails on one, most often for want of memory.

May import jax.
"""

import jax

# XLA has one class for all of them; its message begins with RESOURCE_EXHAUSTED where memory ran out.
AcceleratorError = OutOfMemoryError = jax.errors.JaxRuntimeError

__all__ = ["AcceleratorError", "OutOfMemoryError"]
