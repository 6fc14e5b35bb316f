"""Owns the operators: pure JAX functions declared once through the door in ``_op``, one file per family.

May import the tensor cell, the tape, random and jax.
"""
