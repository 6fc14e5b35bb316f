"""Owns the folder of the fused layers that round their weights; re-exports only.

May import the files below.
"""

from .conv_fused import *
from .linear_fused import *
