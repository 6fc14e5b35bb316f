"""Owns the folder of the layers that round their weights; re-exports only.

May import the files below.
"""

from .conv import *
from .embedding_ops import *
from .linear import *
