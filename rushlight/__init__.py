"""The torch-shaped namespace: ``import rushlight as torch`` is the whole port. Re-exports only; may import everything.

PyTorch's module system and training loop, without PyTorch, on XLA.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import config as _config

_config.apply()

from . import dtypes as _dtypes
from ._device import device, get_default_device, set_default_device
from ._errors import missing_name as _missing_name
from ._graph.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from ._settings import *
from ._tensor.printing import set_printoptions
from ._tensor.tensor import Tensor
from .torch_version import __version__
from .dtypes import *
from .dtypes import bool_ as bool
from .ops._promotion import can_cast, promote_types, result_type
from .ops.compare import *
from .ops.compose import *
from .ops.compose import complex_ as complex
from .ops.control import *
from .ops.convert import *
from .ops.creation import *
from .ops.creation import range_ as range
from .ops.indexing import *
from .ops.join import *
from .ops.legacy import *
from .ops.memory import *
from .ops.diagonals import *
from .ops.fake_quantize import *
from .ops.linalg_old import *
from .ops.norms import *
from .ops.products import *
from .ops.contractions import *
from .ops.nn import *
from .ops.native import *
from .ops.operators import *
from .ops.pointwise import *
from .ops.positions import *
from .ops.queries import *

from .ops.random import *
from .ops.reduce import *
from .ops.scan import *
from .ops.scatter import *
from .ops.search import *
from .ops.shape import *
from .ops.sorting import *
from .ops.special import *
from .ops.spectral import *
from .ops.statistics import *
from .ops.strided import *
from .ops.symbolic import *
from .ops.unary import *
from .ops.view_copies import *
from .ops.windows import *
from .ops.in_place import *
from .ops.foreach import *
from .ops.checks import *
from .ops._synonyms import export as _export
from .random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from . import autograd

if _TYPE_CHECKING:
    from .checkpoint import load, save

# numpy's names of keywords (axis=, keepdims=), in the functions that are built from operators.
_export(globals())

# torch's second names for dtypes (torch.float, torch.long, ...), last because they shadow Python's own names.
globals().update(_dtypes.ALIASES)

# Subpackages that load on first use, as attributes or by import.
_LAZY = frozenset(
    {
        "_C", "__config__", "_custom_ops", "_dynamo", "_higher_order_ops", "_subclasses", "_tensor_str", "accelerator",
        "alias", "amp", "ao", "backends", "checkpoint", "classes", "compiler", "cpu", "cuda", "distributed",
        "distributions", "fft", "func", "functional", "futures", "fx", "hub", "inspect", "jit", "library", "linalg",
        "masked", "models", "mps", "multiprocessing", "nn", "onnx", "optim", "overrides", "profiler", "quantization",
        "random", "return_types", "serialization", "signal", "special", "storage", "testing", "torch_version", "types",
        "utils", "version", "xpu",
    }
)  # fmt: skip
# Names whose subpackage loads on first use.
_LAZY_NAMES = {
    "compile": "compiler",
    "load": "checkpoint",
    "save": "checkpoint",
    "vmap": "func",
    "AcceleratorError": "cuda.errors",
    "DisableTorchFunction": "_C",
    "DisableTorchFunctionSubclass": "_C",
    "DispatchKey": "_C",
    "DispatchKeySet": "_C",
    "Event": "cuda.streams",
    "Future": "futures",
    "GradScaler": "amp",
    "OutOfMemoryError": "cuda.errors",
    "Stream": "cuda.streams",
    "TensorType": "_C",
    "UntypedStorage": "storage",
    "windows": "signal",
    **dict.fromkeys(
        [
            "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "get_autocast_xla_dtype", "is_autocast_cpu_enabled",
            "is_autocast_xla_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled", "set_autocast_gpu_dtype",
            "set_autocast_xla_dtype", "set_autocast_xla_enabled",
        ],
        "amp.by_device",
    ),
    **dict.fromkeys(
        [
            "autocast", "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache",
            "get_autocast_dtype", "is_autocast_cache_enabled", "is_autocast_enabled", "set_autocast_cache_enabled",
            "set_autocast_dtype", "set_autocast_enabled",
        ],
        "amp.autocast_mode",
    ),
}  # fmt: skip


def __getattr__(name: str):
    import importlib

    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        return found
    if name == "torch":
        return importlib.import_module(__name__)  # torch.torch is torch
    raise _missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_NAMES})


_config.imported()
