"""Owns symbolic functions of ONNX's version 12, in which dropout has a mode.

May import the helpers, the registry, creation and _errors.
"""

from __future__ import annotations

import warnings
from typing import Any

from .. import dtypes
from .._errors import missing_name
from ..ops.creation import tensor
from ._graph import Value
from ._internal.torchscript_exporter.registration import onnx_symbolic
from .symbolic_helper import parse_args


@onnx_symbolic("aten::dropout", 12)
@parse_args("v", "f", "b")
def dropout(g: Any, input: Any, p: float, train: bool) -> Value:
    """Write ``dropout``; outside training it is nothing, and the input comes back.

    Args:
        g: the graph.
        input: a value of it.
        p: the share of elements that become zero.
        train: the mode; in training, with a warning: exported programs are meant for evaluation.
    """
    if not train:
        return input
    warnings.warn(
        "ONNX export mode is set to TrainingMode.EVAL, but operator 'dropout' is set to train=True. Exporting with "
        "train=True.",
        stacklevel=2,
    )
    share, mode = (
        g.op("Constant", value_t=tensor(one, dtype=kind)) for one, kind in ((p, None), (train, dtypes.bool_))
    )
    return g.op("Dropout", input, share, mode, outputs=2)[0]


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["dropout"]
