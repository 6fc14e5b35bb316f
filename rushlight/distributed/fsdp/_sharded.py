"""Owns ``FullyShardedDataParallel`` and ``fully_shard`` for one process, whose piece of every parameter is the whole.

May import nn, the words, the policies, the tensor cell and _errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from ..._errors import not_supported
from ..._tensor.tensor import Tensor
from ...nn import Module
from ...nn.utils import clip_grad_norm_
from .api import (
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    MixedPrecision,
    OptimStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from .wrap import _Policy, _recursive_wrap, _wrap_chosen

FSDP_WRAPPED_MODULE = "_fsdp_wrapped_module"
FSDP_PREFIX = FSDP_WRAPPED_MODULE + "."
_CHECKPOINT_PREFIX = "_checkpoint_wrapped_module."  # the file that owns it imports this folder
_PRECISION = "torch.autocast computes in another type, and module.to(dtype) keeps parameters in one."


class OptimStateKeyType(Enum):
    """What the state of an optimizer goes by: the names of parameters, or their numbers."""

    PARAM_NAME = auto()
    PARAM_ID = auto()


def _plain(name: str) -> str:
    return name.replace(FSDP_PREFIX, "").replace(_CHECKPOINT_PREFIX, "")


class FullyShardedDataParallel(Module):
    """A module whose parameters are spread over processes: with one, they stay as they are, with gradients as usual.

    Args:
        module: the module inside; it leaves no trace in the names of parameters and state.
        process_group, device_mesh: which processes.
        sharding_strategy, backward_prefetch, forward_prefetch, limit_all_gathers: when pieces travel; nothing does.
        cpu_offload: ``offload_params`` must be off.
        auto_wrap_policy: which modules inside are wrapped too.
        mixed_precision: without types.
        ignored_modules, ignored_states: what is not spread; nothing is.
        param_init_fn: called for each module whose own parameters are on the ``meta`` device.
        device_id: where the module goes.
        sync_module_states: whether all processes begin with the first one's parameters; they do.
        use_orig_params: accepted: parameters stay the module's own either way.

    Raises:
        NotImplementedError: types of ``mixed_precision``, or ``offload_params``.

    Example:
        >>> import rushlight as torch
        >>> model = torch.distributed.fsdp.FullyShardedDataParallel(torch.nn.Linear(2, 1))
        >>> list(model.state_dict()), [tuple(p.shape) for p in model.parameters()]
        (['weight', 'bias'], [(1, 2), (1,)])
    """

    def __init__(
        self, module: Module, process_group: Any = None, sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None, auto_wrap_policy: Any = None,
        backward_prefetch: BackwardPrefetch | None = BackwardPrefetch.BACKWARD_PRE,
        mixed_precision: MixedPrecision | None = None, ignored_modules: Iterable[Module] | None = None,
        param_init_fn: Callable[[Module], None] | None = None, device_id: Any = None, sync_module_states: bool = False,
        forward_prefetch: bool = False, limit_all_gathers: bool = True, use_orig_params: bool = False,
        ignored_states: Any = None, device_mesh: Any = None,
    ):  # fmt: skip
        super().__init__()
        if cpu_offload is not None and cpu_offload.offload_params:
            raise not_supported("FullyShardedDataParallel(cpu_offload=CPUOffload(True))", "Leave it out.")
        if mixed_precision is not None:
            _no_types(mixed_precision, ("param_dtype", "reduce_dtype", "buffer_dtype"), "FullyShardedDataParallel")
        for one in module.modules():
            if param_init_fn is not None and any(param.is_meta for param in one.parameters(recurse=False)):
                param_init_fn(one)
        if device_id is not None:
            module.to(device_id)
        options = {"use_orig_params": use_orig_params, "sharding_strategy": sharding_strategy}
        ignored = set(ignored_modules or ())
        if isinstance(auto_wrap_policy, _Policy):
            _wrap_chosen(module, auto_wrap_policy._run_policy(module, ignored, options), FullyShardedDataParallel)
        elif auto_wrap_policy is not None:
            _recursive_wrap(
                module, auto_wrap_policy, FullyShardedDataParallel, ignored, set(), only_wrap_children=True, **options
            )
        self._fsdp_wrapped_module = module
        self.sharding_strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        self._settings = StateDictSettings(
            StateDictType.FULL_STATE_DICT, FullStateDictConfig(), FullOptimStateDictConfig()
        )
        self._register_state_dict_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    @property
    def module(self) -> Module:
        """The module inside."""
        return self._fsdp_wrapped_module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == FSDP_WRAPPED_MODULE:
                raise
            return getattr(self._fsdp_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        return self._fsdp_wrapped_module.__getitem__(key)  # type: ignore[operator]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module inside gives."""
        return self._fsdp_wrapped_module(*args, **kwargs)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The parameters by name, without the wrapper's part of the names; arguments as for every module."""
        for name, param in super().named_parameters(*args, **kwargs):
            yield name.replace(FSDP_PREFIX, ""), param

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The buffers by name, without the wrapper's part of the names; arguments as for every module."""
        for name, buffer in super().named_buffers(*args, **kwargs):
            yield name.replace(FSDP_PREFIX, ""), buffer

    def check_is_root(self) -> bool:
        """Whether the module is not inside of another wrapped one, as far as it knows."""
        return True

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """Clip the gradients of all parameters together; arguments and result as for ``nn.utils.clip_grad_norm_``."""
        return clip_grad_norm_(self.parameters(), max_norm, norm_type)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which gradients stay in this process: they always do."""
        yield

    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list[FullyShardedDataParallel]:
        """The wrapped modules inside of one, and itself.

        Args:
            module: the module.
            root_only: only those that are in no other wrapped one.
        """
        if not root_only:
            return [one for one in module.modules() if isinstance(one, FullyShardedDataParallel)]
        if isinstance(module, FullyShardedDataParallel):
            return [module]
        return [found for child in module.children() for found in FullyShardedDataParallel.fsdp_modules(child, True)]

    @staticmethod
    @contextmanager
    def summon_full_params(
        module: Module, recurse: bool = True, writeback: bool = True, rank0_only: bool = False,
        offload_to_cpu: bool = False, with_grads: bool = False,
    ) -> Iterator[None]:  # fmt: skip
        """A block in which parameters are whole: with one process, they always are.

        Args:
            module: the module.
            recurse, rank0_only, with_grads: accepted: nothing needs gathering.
            writeback: whether what is written in the block stays.
            offload_to_cpu: parameters must be on the CPU already.

        Raises:
            NotImplementedError: parameters would have to move.
        """
        params = list(module.parameters())
        if offload_to_cpu and any(param.device.type != "cpu" for param in params):
            raise not_supported(
                "summon_full_params(offload_to_cpu=True) on another device",
                "Leave it out: parameters are whole; module.state_dict() and .cpu() give copies.",
            )
        before = [] if writeback else [param.detach().clone() for param in params]
        try:
            yield
        finally:
            for param, value in zip(params, before, strict=False):
                param.detach().copy_(value)

    @staticmethod
    def set_state_dict_type(
        module: Module, state_dict_type: StateDictType, state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> StateDictSettings:  # fmt: skip
        """Say which state wrapped modules give; with one process, the whole is the only one.

        Args:
            module: the module around them.
            state_dict_type: ``FULL_STATE_DICT``.
            state_dict_config, optim_state_dict_config: ``offload_to_cpu`` moves states; the rest is for processes.

        Returns:
            StateDictSettings: what they gave before.

        Raises:
            NotImplementedError: pieces instead of the whole.
        """
        if state_dict_type is not StateDictType.FULL_STATE_DICT:
            raise not_supported(
                f"StateDictType.{state_dict_type.name}", "Use StateDictType.FULL_STATE_DICT: one process has the whole."
            )
        made = StateDictSettings(
            state_dict_type,
            FullStateDictConfig() if state_dict_config is None else state_dict_config,
            FullOptimStateDictConfig() if optim_state_dict_config is None else optim_state_dict_config,
        )
        before = FullyShardedDataParallel.get_state_dict_type(module)
        for one in FullyShardedDataParallel.fsdp_modules(module):
            one._settings = made
        return before

    @staticmethod
    def get_state_dict_type(module: Module) -> StateDictSettings:
        """Which state wrapped modules give.

        Args:
            module: the module around them.
        """
        found = FullyShardedDataParallel.fsdp_modules(module)
        if found:
            return found[0]._settings
        return StateDictSettings(StateDictType.FULL_STATE_DICT, FullStateDictConfig(), FullOptimStateDictConfig())

    @staticmethod
    @contextmanager
    def state_dict_type(
        module: Module, state_dict_type: StateDictType, state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """A block with ``set_state_dict_type``; arguments as there."""
        before = FullyShardedDataParallel.set_state_dict_type(
            module, state_dict_type, state_dict_config, optim_state_dict_config
        )
        try:
            yield
        finally:
            for one in FullyShardedDataParallel.fsdp_modules(module):
                one._settings = before

    @staticmethod
    def optim_state_dict(
        model: Module, optim: Any, optim_state_dict: dict[str, Any] | None = None, group: Any = None
    ) -> dict[str, Any]:
        """The state of an optimizer under the names of parameters.

        Args:
            model: whose parameters they are.
            optim: the optimizer.
            optim_state_dict: its state; default: asked for.
            group: which processes.
        """
        held = optim.state_dict() if optim_state_dict is None else optim_state_dict
        return _named(held, _numbers(model, optim))

    full_optim_state_dict = sharded_optim_state_dict = optim_state_dict

    @staticmethod
    def optim_state_dict_to_load(
        model: Module, optim: Any, optim_state_dict: dict[str, Any], is_named_optimizer: bool = False,
        load_directly: bool = False, group: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """A state of ``optim_state_dict`` in the form that ``optim.load_state_dict`` takes.

        Args:
            model: whose parameters they are.
            optim: the optimizer.
            optim_state_dict: the state.
            is_named_optimizer: keep the names.
            load_directly: hand it to ``optim``.
            group: which processes.
        """
        found = optim_state_dict if is_named_optimizer else _numbered(optim_state_dict, _numbers(model, optim))
        if load_directly:
            optim.load_state_dict(found)
        return found

    @staticmethod
    def shard_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any], model: Module, optim_input: Any = None, optim: Any = None
    ) -> dict[str, Any]:
        """The same, with the arguments in an older order.

        Args:
            full_optim_state_dict: the state, by names.
            model: whose parameters they are.
            optim_input: what the optimizer was made with; deprecated.
            optim: the optimizer; default: it has the parameters of ``optim_input``, or all.
        """
        return _numbered(full_optim_state_dict, _numbers(model, optim, optim_input))

    flatten_sharded_optim_state_dict = shard_full_optim_state_dict

    @staticmethod
    def scatter_full_optim_state_dict(
        full_optim_state_dict: dict[str, Any] | None, model: Module, optim_input: Any = None, optim: Any = None,
        group: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """The same, where one process has the state; arguments as for ``shard_full_optim_state_dict``.

        Raises:
            RuntimeError: this process, the first, has none.
        """
        if full_optim_state_dict is None:
            raise RuntimeError(
                "Rank 0 must pass in the full optimizer state dict when calling scatter_full_optim_state_dict"
            )
        return _numbered(full_optim_state_dict, _numbers(model, optim, optim_input))

    @staticmethod
    def rekey_optim_state_dict(
        optim_state_dict: dict[str, Any], optim_state_key_type: OptimStateKeyType, model: Module,
        optim_input: Any = None, optim: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """The state of an optimizer by names instead of numbers, or the other way.

        Args:
            optim_state_dict: the state.
            optim_state_key_type: by what it is to go.
            model: whose parameters they are.
            optim_input: what the optimizer was made with; deprecated.
            optim: the optimizer; default: it has the parameters of ``optim_input``, or all.
        """
        names = _numbers(model, optim, optim_input)
        change = _named if optim_state_key_type is OptimStateKeyType.PARAM_NAME else _numbered
        return change(optim_state_dict, names)


def _rename(state: dict[str, Any], old: str, new: str) -> None:
    for key in list(state):
        if key.startswith(old):
            state[new + key.removeprefix(old)] = state.pop(key)


def _without_prefix(module: Any, state: dict[str, Any], prefix: str, *args: Any) -> dict[str, Any]:
    _rename(state, prefix + FSDP_PREFIX, prefix)
    if module._settings.state_dict_config.offload_to_cpu:
        for key in state:
            if key.startswith(prefix) and isinstance(state[key], Tensor):
                state[key] = state[key].detach().cpu()
    return state


def _with_prefix(module: Any, state: dict[str, Any], prefix: str, *args: Any) -> None:
    _rename(state, prefix, prefix + FSDP_PREFIX)


def _numbers(model: Module, optim: Any, optim_input: Any = None) -> list[str]:
    """The names of an optimizer's parameters, in the order of their numbers."""
    names = {id(param): _plain(name) for name, param in model.named_parameters()}
    if optim is not None:
        params = [param for group in optim.param_groups for param in group["params"]]
    elif optim_input is None:
        params = list(model.parameters())
    else:
        given = list(optim_input)
        params = [p for one in given for p in (one["params"] if isinstance(one, dict) else (one,))]
    return [names[id(param)] for param in params]


def _rekeyed(state: dict[str, Any], change: dict) -> dict[str, Any]:
    kept = {change.get(key, key): value for key, value in state["state"].items()}
    if "param_groups" not in state:
        return {"state": kept}
    groups = [{**group, "params": [change[one] for one in group["params"]]} for group in state["param_groups"]]
    return {"state": kept, "param_groups": groups}


def _named(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return _rekeyed(state, dict(enumerate(names)))


def _numbered(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return _rekeyed(state, {name: number for number, name in enumerate(names)})


def _no_types(policy: Any, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if getattr(policy, name) is not None:
            raise not_supported(f"{what}({type(policy).__name__}({name}=))", _PRECISION)
