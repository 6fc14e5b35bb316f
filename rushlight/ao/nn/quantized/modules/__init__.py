"""Owns the folder of the wrapped operators; re-exports only.

May import the file below.
"""

from .functional_modules import FloatFunctional as FloatFunctional
