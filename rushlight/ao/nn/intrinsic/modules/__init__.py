"""Owns the folder of the fused containers; re-exports only.

May import the file below.
"""

from .fused import *
