"""Owns the folder of the modules built from parts that can be watched; re-exports only.

May import the files below.
"""

from .activation import *
from .rnn import *
