"""The torch-shaped namespace: ``import rushlight as torch`` is the whole port. Re-exports only.

PyTorch's module system and training loop, without PyTorch, on XLA.
"""

import sys as _sys

from . import config as _config

_config.apply()

from . import dtypes as _dtypes
from ._errors import missing_name as _missing_name
from ._graph.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from ._tensor.printing import set_printoptions
from ._tensor.tensor import Tensor
from ._version import TORCH_VERSION as __version__
from ._device import device, get_default_device, set_default_device
from .dtypes import *
from .dtypes import bool_ as bool
from .ops._promotion import can_cast, promote_types, result_type
from .ops.convert import *
from .ops.creation import *
from .ops.creation import complex_ as complex
from .ops.creation import range_ as range
from .ops.indexing import *
from .ops.pointwise import *
from .ops.shape import *
from . import autograd

# torch's second names for dtypes: torch.float, torch.long ...
globals().update(_dtypes.ALIASES)


def __getattr__(name: str):
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise _missing_name(__name__, name)


_LAZY = frozenset({"nn", "optim", "utils", "checkpoint", "models", "alias", "random", "cuda", "backends"})
_sys.modules[__name__].__dict__["_LAZY"] = _LAZY
