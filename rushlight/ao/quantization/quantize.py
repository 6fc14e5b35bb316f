"""Owns ``prepare`` and ``prepare_qat``: a model gets observers and modules that round; and the steps they consist of.

May import nn, its fused and quantizable modules, the tables and observers.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import Any

from ... import nn
from ..._errors import not_supported
from ...nn import Module
from ...nn.utils.parametrize import type_before_parametrizations
from ..nn import quantizable
from ..nn.intrinsic import _FusedModule
from ..nn.quantized import FloatFunctional
from .fake_quantize import FakeQuantizeBase
from .observer_base import ObserverBase
from .qconfig import _activation_is_memoryless, _add_module_to_qconfig_obs_ctr, _assert_valid_qconfig
from .quantization_mappings import (
    _special_post_process,
    get_default_qat_module_mappings,
    get_default_qconfig_propagation_list,
    no_observer_set,
)
from .stubs import DeQuantStub, QuantWrapper
from .utils import has_no_children_ignoring_parametrizations

_INSTEAD = (
    "rushlight has no integer kernels: keep the prepared model, whose floats lie on the quantization grid, and export "
    "weights with torch.fake_quantize_per_tensor_affine or their scale and zero point."
)
_CUSTOM: dict[str, dict] = {
    "float_to_observed_custom_module_class": {
        nn.LSTM: quantizable.LSTM,
        nn.MultiheadAttention: quantizable.MultiheadAttention,
    },
}


def get_default_custom_config_dict() -> dict:
    """Which modules are rebuilt from parts that can be watched."""
    return _CUSTOM


def propagate_qconfig_(
    module: Module, qconfig_dict: dict | None = None, prepare_custom_config_dict: dict | None = None
) -> None:
    """Hand ``qconfig`` down to all modules below that have none of their own.

    Args:
        module: where to begin.
        qconfig_dict: a ``qconfig`` by type or by name; an attribute of a module goes before it.
        prepare_custom_config_dict: ``non_traceable_module_name`` and ``non_traceable_module_class`` are left out.
    """
    given, custom = qconfig_dict or {}, prepare_custom_config_dict or {}
    names, classes = (custom.get(f"non_traceable_module_{k}", []) for k in ("name", "class"))

    def hand_down(module: Any, parents: Any, prefix: str) -> None:
        qconfig = given.get(prefix, given.get(type_before_parametrizations(module), parents))
        qconfig = getattr(module, "qconfig", qconfig)
        _assert_valid_qconfig(qconfig, module)
        module.qconfig = qconfig = _add_module_to_qconfig_obs_ctr(qconfig, module)
        for name, child in module.named_children():
            if name not in names and type(child) not in classes:
                hand_down(child, qconfig, f"{prefix}.{name}" if prefix else name)

    hand_down(module, None, "")


def _observer_forward_hook(self: Any, input: Any, output: Any) -> Any:
    return self.activation_post_process(output)


def _observer_forward_pre_hook(self: Any, input: Any) -> Any:
    return self.activation_post_process(input[0])


def _wanted(module: Any) -> bool:
    return getattr(module, "qconfig", None) is not None


def _watch(module: Any, device: Any, make: Any = None) -> None:
    """Let something watch what a module gives; where only each input alone counts, what it takes."""
    if not _wanted(module) or isinstance(module, DeQuantStub):
        return
    watcher = (make or module.qconfig.activation)()
    module.add_module("activation_post_process", watcher if device is None else watcher.to(device))
    if _activation_is_memoryless(module.qconfig):
        module.register_forward_pre_hook(_observer_forward_pre_hook, prepend=True)
    else:
        module.register_forward_hook(_observer_forward_hook, prepend=True)


def _only_device(module: Module) -> Any:
    devices = {t.device for t in (*module.parameters(), *module.buffers()) if t.device.type != "meta"}
    if len(devices) > 1:
        raise AssertionError(f"prepare expects a model on one device, received one on {devices}. Use model.to(device).")
    return next(iter(devices), None)


def _add_observers(module: Any, watched: Iterable, whole: Iterable, device: Any, custom: dict) -> None:
    device = _only_device(module) if device is None else device
    for name, child in module.named_children():
        kind = type_before_parametrizations(child)
        if kind is nn.Dropout:
            continue
        if issubclass(kind, FloatFunctional):
            if _wanted(child):
                watcher = child.qconfig.activation()
                child.activation_post_process = watcher if device is None else watcher.to(device)
        elif isinstance(child, _FusedModule) or kind in whole:
            _watch(child, device)
        elif (special := _special_post_process(child)) is not None:
            _watch(child, device, special)
        elif _wanted(child) and kind in custom:
            observed = custom[kind].from_float(child)
            setattr(module, name, observed)
            if not issubclass(custom[kind], tuple(no_observer_set())):
                _watch(observed, device)
        else:
            _add_observers(child, watched, whole, device, custom)
    if isinstance(module, nn.Sequential) or type_before_parametrizations(module) not in watched:
        return
    if has_no_children_ignoring_parametrizations(module) or hasattr(module, "weight_fake_quant"):
        _watch(module, device)


def prepare(
    model: Module, inplace: bool = False, allow_list: Any = None, observer_non_leaf_module_list: Any = None,
    prepare_custom_config_dict: dict | None = None,
) -> Any:  # fmt: skip
    """Put observers behind the modules of a model that have a ``qconfig``, their own or their parents'.

    Args:
        model: in evaluation mode, usually.
        inplace: change ``model`` instead of a copy.
        allow_list: the types whose results are watched.
        observer_non_leaf_module_list: types that are watched as a whole.
        prepare_custom_config_dict: ``float_to_observed_custom_module_class``: what is rebuilt from parts.

    Raises:
        AssertionError: the model is on several devices.

    Example:
        >>> import rushlight as torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3))
        >>> model.qconfig = torch.ao.quantization.default_qconfig
        >>> prepare(model)
        Sequential(
          (0): Linear(
            in_features=2, out_features=3, bias=True
            (activation_post_process): MinMaxObserver(min_val=inf, max_val=-inf)
          )
        )
    """
    settings = _CUSTOM if prepare_custom_config_dict is None else prepare_custom_config_dict
    custom = settings.get("float_to_observed_custom_module_class", {})
    if not inplace:
        model = copy.deepcopy(model)
    watched = get_default_qconfig_propagation_list() if allow_list is None else allow_list
    propagate_qconfig_(model)
    if not any(getattr(m, "qconfig", None) for m in model.modules()):
        warnings.warn(
            "None of the submodule got qconfig applied. Make sure you passed correct configuration through "
            "`qconfig_dict` or by assigning the `.qconfig` attribute directly on submodules",
            stacklevel=2,
        )
    _add_observers(model, watched, observer_non_leaf_module_list or (), None, custom)
    return model


def swap_module(
    mod: Module, mapping: dict, custom_module_class_mapping: dict | None = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:  # fmt: skip
    """What ``mapping`` says that a module becomes, where it has a ``qconfig``; else the module itself.

    Args:
        mod: the module.
        mapping: classes with ``from_float`` by type.
        custom_module_class_mapping: classes with ``from_observed`` by type.
        use_precomputed_fake_quant: accepted for torch's sake; only integer modules read it.
    """
    kind = type_before_parametrizations(mod)
    if not _wanted(mod):
        return mod
    if kind in (custom_module_class_mapping or {}):
        new: Any = (custom_module_class_mapping or {})[kind].from_observed(mod)
    elif kind in mapping:
        new = mapping[kind].from_float(mod)
    else:
        return mod
    for hook in mod._forward_pre_hooks.values():
        new.register_forward_pre_hook(hook)
    for hook in mod._forward_hooks.values():
        if hook is not _observer_forward_hook:
            new.register_forward_hook(hook)
    device = _only_device(mod)
    return new if device is None else new.to(device)


def _swap_below(module: Any, mapping: dict) -> None:
    for name, child in list(module.named_children()):
        if not isinstance(child, _FusedModule):
            _swap_below(child, mapping)
        setattr(module, name, swap_module(child, mapping))


def prepare_qat(model: Module, mapping: dict | None = None, inplace: bool = False) -> Any:
    """Let a model round its weights and values while it trains, as a quantized one would.

    Args:
        model: in training mode, with ``qconfig`` on it or on modules below; fuse modules first.
        mapping: what each type of module becomes.
        inplace: change ``model`` instead of a copy.

    Raises:
        AssertionError: the model is in evaluation mode.

    Example:
        >>> import rushlight as torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3))
        >>> model.qconfig = torch.ao.quantization.get_default_qat_qconfig("qnnpack")
        >>> sorted(dict(prepare_qat(model)[0].named_children()))
        ['activation_post_process', 'weight_fake_quant']
    """
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    mapping = get_default_qat_module_mappings() if mapping is None else mapping
    if not inplace:
        model = copy.deepcopy(model)
    propagate_qconfig_(model)
    _swap_below(model, mapping)
    return prepare(model, observer_non_leaf_module_list=set(mapping.values()), inplace=True)


def add_quant_dequant(module: Module) -> Any:
    """Put the two marks around every innermost module that has a ``qconfig``.

    Args:
        module: changed in place, unless it is such a module itself.
    """
    if has_no_children_ignoring_parametrizations(module) and getattr(module, "qconfig", None):
        return QuantWrapper(module)
    for name, child in list(module.named_children()):
        setattr(module, name, add_quant_dequant(child))
    return module


def _refused(name: str, doc: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise not_supported(f"torch.ao.quantization.{name}", _INSTEAD)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"{doc} Not offered, and raises NotImplementedError: {_INSTEAD}"
    return refuse


def convert(
    module: Module, mapping: dict | None = None, inplace: bool = False, remove_qconfig: bool = True,
    is_reference: bool = False, convert_custom_config_dict: dict | None = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:  # fmt: skip
    """Swap the modules of a prepared model for others, and take the observers off.

    Args:
        module: the model.
        mapping: classes with ``from_float`` by type. Torch's own default makes modules with integer kernels.
        inplace: change ``module`` instead of a copy.
        remove_qconfig: take ``qconfig`` and what watches off.
        is_reference, convert_custom_config_dict, use_precomputed_fake_quant: of torch's integer modules; refused.

    Raises:
        NotImplementedError: no mapping, or one of the options that only integer modules have.
    """
    if mapping is None or is_reference or convert_custom_config_dict or use_precomputed_fake_quant:
        raise not_supported("torch.ao.quantization.convert to integer modules", f"{_INSTEAD} Or pass a mapping.")
    if not inplace:
        module = copy.deepcopy(module)
    _swap_below(module, mapping)
    for m in list(module.modules()) if remove_qconfig else ():
        _unwatch(m)
    return module


def _unwatch(module: Any) -> None:
    if hasattr(module, "qconfig"):
        del module.qconfig
    if isinstance(getattr(module, "activation_post_process", None), (ObserverBase, FakeQuantizeBase)):
        del module.activation_post_process
    for table, ours in (
        (module._forward_pre_hooks, _observer_forward_pre_hook), (module._forward_hooks, _observer_forward_hook),
    ):  # fmt: skip
        for key in [k for k, hook in table.items() if hook is ours]:
            table.pop(key)


quantize = _refused("quantize", "Observe a model, then make it compute with integers.")
quantize_qat = _refused("quantize_qat", "Train a model, then make it compute with integers.")
quantize_dynamic = _refused("quantize_dynamic", "Make a model compute with integer weights.")

__all__ = [
    "add_quant_dequant", "convert", "get_default_custom_config_dict", "prepare", "prepare_qat", "propagate_qconfig_",
    "quantize", "quantize_dynamic", "quantize_qat", "swap_module",
]  # fmt: skip
