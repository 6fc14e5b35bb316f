"""Owns the list of all layers, for ``torch.nn.modules`` and ``torch.nn``; re-exports only.

May import the files of this folder.
"""

from .activation import *
from .batchnorm import *
from .container import *
from .conv import *
from .distance import *
from .dropout import *
from .flatten import *
from .instancenorm import *
from .linear import *
from .loss import *
from .module import *
from .normalization import *
from .pooling import *
from .rnn import *
from .sparse import *
