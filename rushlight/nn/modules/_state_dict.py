"""Owns saving a module into a state dict and loading it from one: all of it or nothing, with every problem named.

May import Parameter, the modes, the tape's hook tables and the tensor cell.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from ..._graph.modes import no_grad
from ..._hooks import RemovableHandle
from ..._tensor.tensor import Tensor
from ..._tensor.unread import Unread, put_back
from ..parameter import Parameter, is_lazy
from . import _loading, _quick_load
from ._call import HookSlot
from ._traversal import walk

_EXTRA = "_extra_state"
_EXTRA_STATE_KEY_SUFFIX = _EXTRA  # the name by which other packages import it


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class _WrappedHook:
    """A load hook that is given its module first, without keeping the module alive."""

    def __init__(self, hook: Callable, module=None):
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if module is not None:
            self.module = weakref.ref(module)

    def __call__(self, *args, **kwargs):
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict:
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict) -> None:
        self.hook, self.with_module = state["hook"], state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class StateDict:
    """The part of ``Module`` that saves and loads."""

    _version: int = 1
    dump_patches: bool = False
    _parameters: dict
    _buffers: dict
    _modules: dict
    _non_persistent_buffers_set: set
    _state_dict_hooks = HookSlot(called=False)
    _state_dict_pre_hooks = HookSlot(called=False)
    _load_state_dict_pre_hooks = HookSlot(called=False)
    _load_state_dict_post_hooks = HookSlot(called=False)

    def _own_hooks(self, name: str) -> list:
        table = self.__dict__.get(name)
        return list(table.values()) if table else []

    def get_extra_state(self) -> Any:
        """What to save besides parameters and buffers; define it together with ``set_extra_state``."""
        raise RuntimeError(
            f"{type(self).__name__}.get_extra_state() was called but not defined. Define get_extra_state and "
            "set_extra_state together."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` gave."""
        raise RuntimeError(
            f"{type(self).__name__}.set_extra_state() was called but not defined. Define get_extra_state and "
            "set_extra_state together."
        )

    # -- saving -------------------------------------------------------------------------------------------------

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        """Put the parameters, persistent buffers and extra state of this module, without its children, in a dict."""
        own = self.__dict__
        for name, parameter in own["_parameters"].items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        buffers = own["_buffers"]
        if buffers:
            left_out = own["_non_persistent_buffers_set"]
            for name, buffer in buffers.items():
                if buffer is not None and name not in left_out:
                    destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not StateDict.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(
        self, *args, destination: Any = None, prefix: str = "", keep_vars: bool = False, copy: bool = False
    ) -> Any:
        """Everything the model has learnt, by path; the tensors share their storage with the model.

        Args:
            destination: an OrderedDict to add to.
            prefix: goes before every key.
            keep_vars: give the parameters themselves instead of detached tensors.
            copy: give a snapshot, which later training does not change.

        Returns:
            OrderedDict: of tensors, with the versions of all modules in its attribute ``_metadata``.

        Example:
            >>> from rushlight import nn
            >>> list(nn.Sequential(nn.Linear(2, 3)).state_dict())
            ['0.weight', '0.bias']
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            if destination is None:
                destination = args[0]
            if len(args) > 1 and prefix == "":
                prefix = args[1]
            if len(args) > 2 and keep_vars is False:
                keep_vars = args[2]
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        destination = _save(self, destination, prefix, keep_vars)
        if copy:
            _loading.snapshot(destination)
        return destination

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module is saved."""
        return self._state_dict_pre_hooks.add(hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after the module is saved; it may change the dict."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return self._state_dict_hooks.add(hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return self._state_dict_hooks.add(hook)

    # -- loading ------------------------------------------------------------------------------------------------

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        return self._load_state_dict_pre_hooks.add(_WrappedHook(hook, self if with_module else None))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the two lists."""
        return self._load_state_dict_post_hooks.add(hook)

    @_quick_load.plain_when_complete
    def _load_from_state_dict(
        self, state_dict, prefix: str, local_metadata: dict, strict: bool, missing_keys: list, unexpected_keys: list,
        error_msgs: list,
    ) -> None:  # fmt: skip
        """Copy the entries of this module, without its children, and note what is missing, unexpected or wrong.

        Args:
            state_dict: the entries that begin with ``prefix``.
            prefix: the path of this module and a dot.
            local_metadata: its metadata; ``version`` tells the form of the entries.
            strict: note missing and unexpected keys.
            missing_keys, unexpected_keys, error_msgs: lists to add to.
        """
        for hook in self._own_hooks("_load_state_dict_pre_hooks"):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        left_out = self._non_persistent_buffers_set
        local = {name: value for name, value in self._parameters.items() if value is not None}
        local.update((n, b) for n, b in self._buffers.items() if b is not None and n not in left_out)
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, own in local.items():
            key = prefix + name
            if key in state_dict:
                _load_one(self, name, own, key, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA
        if type(self).set_extra_state is not StateDict.set_extra_state:
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            start, children = len(prefix), self._modules
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    first, dot, _ = key[start:].partition(".")
                    if first not in (children if dot else local):
                        unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False, *, key_map=None,
        strip_prefix=None, ignore_mismatched: bool = False,
    ):  # fmt: skip
        """Load a state dict; where anything is wrong, say all that is and leave the model as it was.

        Args:
            state_dict: tensors by path; of names that are one tensor in the model, one is enough.
            strict: missing and unexpected keys are errors.
            assign: put the tensors themselves into the model instead of copying their contents.
            key_map: a dict from regular expressions to replacements (None drops the key), or a function of a key.
            strip_prefix: a prefix to take off the keys, or several.
            ignore_mismatched: leave out entries of another shape than the model's, with a warning.

        Returns:
            named tuple: ``missing_keys`` and ``unexpected_keys``.

        Raises:
            TypeError: not a mapping.
            RuntimeError: one message with every problem.
            ValueError: ``key_map`` or ``strip_prefix`` fits no key.

        Example:
            >>> from rushlight import nn
            >>> model = nn.Linear(2, 3)
            >>> model.load_state_dict(nn.Linear(2, 3).state_dict())
            <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            instead = "; pass its state_dict()" if isinstance(state_dict, StateDict) else ""
            if type(state_dict).__name__ == "Stub":  # of a module whose class is not here
                instead = "; pass rushlight.checkpoint.state_dict_of(...) of it"
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}{instead}.")
        if not assign and key_map is None and strip_prefix is None:
            pairs = _quick_load.plan(self, state_dict, StateDict.set_extra_state)
            if pairs is not None:
                _loading.give_back_memory(_quick_load.copy(pairs))
                return _IncompatibleKeys([], [])
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        entries, ignored = _loading.renamed(state_dict, key_map, strip_prefix), set()
        if ignore_mismatched:
            entries, ignored = _loading.without_mismatches(self, entries)
        metadata = getattr(entries, "_metadata", None)
        ties = _loading.Ties(self)
        before = _snapshot(self)
        try:
            _load(self, entries, "", metadata, assign, (missing, unexpected, errors))
            ties.forgive(missing, entries)
            missing[:] = [key for key in missing if key not in ignored]
            if strict:
                problems = [("Missing", missing), ("Unexpected", unexpected)]
                lines = [f"{what} key(s) in state_dict: {_quoted(keys)}. " for what, keys in problems if keys]
                errors[:0] = lines
            if errors:
                errors += _loading.advice(self, state_dict, entries, missing, unexpected)
                message = "\n\t".join(errors)
                raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{message}")
            if assign:
                ties.restore(self, entries)
        except BaseException:
            _restore(before)
            raise
        changed = (was for _, cells in before for _, cell, was in cells if cell.form is not was)
        replaced = [array for array in changed if type(array) is not Unread]
        # Nothing else may hold the old arrays when their memory is to go back.
        before.clear()
        _loading.give_back_memory(replaced)
        return _IncompatibleKeys(missing, unexpected)


def _save(module, destination, prefix: str, keep_vars: bool) -> Any:
    """Put a module and all below it in a dict; what the module's own hook makes of the dict comes back."""
    metadata = {"version": module._version}
    versions = getattr(destination, "_metadata", None)
    if versions is not None:
        versions[prefix[:-1]] = metadata
    own = module.__dict__
    if "_state_dict_pre_hooks" in own:
        for hook in module._own_hooks("_state_dict_pre_hooks"):
            hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    children = own["_modules"]
    if children:
        for name, child in children.items():
            if child is None:
                continue
            path = f"{prefix}{name}."
            if type(child).state_dict is StateDict.state_dict and "state_dict" not in child.__dict__:
                _save(child, destination, path, keep_vars)
            else:
                child.state_dict(destination=destination, prefix=path, keep_vars=keep_vars)
    if "_state_dict_hooks" in own:
        for hook in module._own_hooks("_state_dict_hooks"):
            out = hook(module, destination, prefix, metadata)
            if out is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = out
    return destination


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _load(module, entries, prefix: str, metadata, assign: bool, notes: tuple[list, list, list]) -> None:
    local = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
    if assign:
        local["assign_to_params_buffers"] = assign
    module._load_from_state_dict(entries, prefix, local, True, *notes)
    children = [(name, child) for name, child in module._modules.items() if child is not None]
    if children:
        # One pass sorts the entries by child; hooks of a child then see its own entries only.
        start = len(prefix)
        parts: dict[str, dict] = {name: {} for name, _ in children}
        for key, value in entries.items():
            name, dot, _ = key[start:].partition(".")
            if dot and name in parts and key.startswith(prefix):
                parts[name][key] = value
        for name, child in children:
            _load(child, parts[name], f"{prefix}{name}.", metadata, assign, notes)
    for hook in module._own_hooks("_load_state_dict_post_hooks"):
        if hook(module, _IncompatibleKeys(notes[0], notes[1])) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, "
                "if incompatible_keys need to be modified, it should be done inplace."
            )


def _load_one(module, name: str, own: Tensor, key: str, given, assign: bool, errors: list[str]) -> None:
    if not isinstance(given, Tensor):
        errors.append(
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
            f"but received {type(given)}"
        )
        return
    if not is_lazy(own):
        shape, has = tuple(given._form().shape), tuple(own._form().shape)
        if not has and shape == (1,):  # files of torch 0.3 and before know no 0-dim tensors
            given, shape = given[0], ()
        if shape != has:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, the shape in "
                f"current model is {own.shape}."
            )
            return
    if own.is_meta and not given.is_meta and not assign:
        warnings.warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current model, "
            "which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary to their "
            "corresponding key in the module instead of copying them in place?)",
            stacklevel=2,
        )
        return
    try:
        with no_grad():
            if not assign:
                _copy(own, given)
                return
            if isinstance(own, Parameter):
                if isinstance(given, Parameter):
                    given.requires_grad_(own.requires_grad)
                else:
                    given = Parameter(given, requires_grad=own.requires_grad)
            setattr(module, name, given)
    except Exception as error:
        errors.append(
            f'While copying the parameter named "{key}", whose dimensions in the model are {own.size()} and whose '
            f"dimensions in the checkpoint are {given.size()}, an exception occurred : {error.args}."
        )


def _copy(own: Tensor, given: Tensor) -> None:
    if is_lazy(own):
        own.copy_(given)
        return
    array = given._array()
    if array.dtype == own._form().dtype and given.device == own.device:
        own._write(array)  # arrays do not change, so the two can hold the same one
    else:
        own.copy_(given)


def _snapshot(root) -> list[tuple]:
    """What a failed load must bring back: the tables of every module, and the array in every storage.

    Initial values that nobody has read stay unread: most loads put others in their place.
    """
    seen: dict[int, tuple] = {}
    for _, module in walk(root):
        state = module.__dict__
        slots = [(state[slot], dict(state[slot])) for slot in ("_parameters", "_buffers")]
        cells = [(v, v._storage, v._storage.form) for _, t in slots for v in t.values() if v is not None]
        seen[id(module)] = slots, cells
    return list(seen.values())


def _restore(before: list[tuple]) -> None:
    for slots, cells in before:
        for table, entries in slots:
            if list(map(id, table.values())) != list(map(id, entries.values())):
                table.clear()
                table.update(entries)
        for tensor, cell, form in cells:
            if tensor._storage is not cell:
                tensor._storage = cell
            if cell.form is not form:
                put_back(cell, form)
