"""Owns the list of all layers, for ``torch.nn.modules`` and ``torch.nn``; re-exports only.

May import the files of this folder.
"""

from .container import *
from .module import *
