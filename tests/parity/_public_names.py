"""Counts the public names of PyTorch's namespaces that rushlight has, and lists those that it has not.

A public name is one that ``dir`` shows and that starts with no underscore; what a module of torch merely imported
(Python's own modules, ``typing``, the package itself) is nobody's interface and does not count.
"""

import csv
import importlib
import types
import warnings
from pathlib import Path

import torch

import rushlight

# The namespaces that are counted, with the share that has to be there.
SPACES = {
    "torch": 0.75,
    "torch.nn": 1.0,
    "torch.nn.functional": 1.0,
    "torch.optim": 1.0,
    "torch.nn.init": 1.0,
    "torch.Tensor": 0.75,
}

# Names that stand in a namespace of torch because its file needed them: aliases for annotations, paragraphs of
# documentation, switches of the loader.
_INCIDENTAL = {
    "torch": {"torch", "TYPE_CHECKING", "USE_GLOBAL_DEPS", "USE_RTLD_GLOBAL_WITH_LIBTORCH", "PRIVATE_OPS"},
    "torch.nn": {"factory_kwargs"},
    "torch.nn.functional": {
        "torch", "TYPE_CHECKING", "Tensor", "DType", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3",
        "reproducibility_notes", "sparse_support_notes", "tf32_notes", "boolean_dispatch", "assert_int_or_pair",
        "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
    },
    "torch.nn.init": {"torch"},
}  # fmt: skip

# What programs use and rushlight leaves out on purpose: the beginnings of names, and why.
OUT_OF_SCOPE = {
    "torch._C": "torch's C++ internals",
    "torch._dynamo": "torch's compiler",
    "torch._higher_order_ops": "torch's compiler",
    "torch.ops.": "operators registered from C++ or CUDA",
    "torch.library": "custom operators",
    "torch.sparse": "sparse layouts",
}

# What programs name and PyTorch itself, without a further package, has not either: a test looks whether that is so.
NOT_IN_TORCH = {
    "torch.onnx._export": "older versions of PyTorch",
    "torch.ops.torchvision.box_iou_rotated": "a package that adds to torchvision's operators",
    "torch.neuron.current_device": "a device of another package",
    "torch.classes.NativeInterpretation.ElementwiseInterpreter": "a library of another package",
}

# What is there under its name and raises NotImplementedError, which names what to use instead.
REFUSED = {
    "torch.jit": ("trace", "trace_module", "load", "save"),
    "torch": ("sparse_coo_tensor", "_make_per_tensor_quantized_tensor"),
    "torch.cuda": ("reset_peak_memory_stats",),
    "torch.ops.torchvision": ("qnms", "qroi_align"),
    "torch.onnx": ("export",),
    "torch.distributed._functional_collectives": ("AsyncCollectiveTensor",),
    "torch.distributed.tensor": ("DTensor", "distribute_tensor", "distribute_module"),
}


def _reach(root, path):
    for part in path:
        root = getattr(root, part)
    return root


def _own(value) -> bool:
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] == "torch"
    home = getattr(value, "__module__", None)
    return home is None or home.partition(".")[0] in ("torch", "builtins")


def names(space):
    """The public names of one of torch's namespaces."""
    holder = _reach(torch, space.split(".")[1:])
    found = []
    for name in dir(holder):
        if name.startswith("_") or name in _INCIDENTAL.get(space, ()):
            continue
        try:
            value = getattr(holder, name)
        except (AttributeError, RuntimeError):
            value = None  # an attribute that needs an instance
        if _own(value):
            found.append(name)
    return found


def missing(space):
    """(how many public names there are, those that rushlight lacks)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = names(space)
        holder = _reach(rushlight, space.split(".")[1:])
        return len(wanted), [name for name in wanted if not _has(holder, name)]


def _has(holder, name) -> bool:
    try:
        getattr(holder, name)
    except AttributeError:
        return False
    except (RuntimeError, NotImplementedError, TypeError):
        return True
    return True


def used(table):
    """The rows (name, in how many programs' files) of a list of names in use: ``torch`` or ``tensor``."""
    with (Path(__file__).parent / "names" / f"{table}.tsv").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row[0] != "rank"]
    return [(row[1], int(row[2])) for row in rows]


def reaches(name) -> bool:
    """Whether a dotted name of torch is there in rushlight, as an attribute or by import."""
    path = name.split(".")[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for cut in range(len(path), -1, -1):
            try:
                holder = importlib.import_module(".".join(["rushlight", *path[:cut]]))
            except ImportError:
                continue
            for part in path[cut:]:
                if not _has(holder, part):
                    return False
                holder = getattr(holder, part, None)
            return True
    return False


def refused(table):
    """Names in use that are there and raise: those of ``REFUSED`` in a list of names, with what hangs on them."""
    roots = [f"{space}.{name}" for space, names in REFUSED.items() for name in names]
    return [name for name, _ in used(table) if any(name == root or name.startswith(root + ".") for root in roots)]


def reason(name):
    """Why a name is left out on purpose; None where it is not."""
    if name in NOT_IN_TORCH:
        return f"not in PyTorch 2.13 either: {NOT_IN_TORCH[name]}"
    found = [why for start, why in OUT_OF_SCOPE.items() if name.startswith(start)]
    return found[0] if found else None


def unused(table):
    """Names in use that rushlight lacks: (those in scope, {name: why it is not})."""
    open_, closed = [], {}
    for name, _ in used(table):
        full = name if table == "torch" else f"torch.Tensor.{name}"
        if full not in NOT_IN_TORCH and reaches(full):
            continue
        why = reason(full)
        if why is None:
            open_.append(name)
        else:
            closed[name] = why
    return open_, closed
