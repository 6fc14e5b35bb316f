"""Gathers the torch-level names of the neural-network operators (``torch.relu``, ``torch.conv2d``, ...).

May import the ``nn_*`` operator files only.
"""

# ruff: noqa: F403

from .nn_activation import *
from .nn_conv import *
from .nn_ctc import *
from .nn_distance import *
from .nn_dropout import *
from .nn_embedding import *
from .nn_fold import *
from .nn_linear import *
from .nn_loss import *
from .nn_norm import *
from .nn_pad import *
from .nn_pool import *
from .nn_pool_mean import *
from .nn_resize import *
from .nn_rnn import *
from .nn_weight_norm import *
