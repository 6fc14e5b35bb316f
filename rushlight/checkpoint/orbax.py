"""Owns checkpoints of a whole training run through orbax: written in the background, sharded, a few kept, resumable.

May import this folder; ``orbax.checkpoint`` is imported when a ``Checkpointer`` is made.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rushlight import _device as devices
from rushlight import dtypes
from rushlight._tensor.half_complex import label
from rushlight._tensor.tensor import Tensor
from rushlight.random.generator import Generator

from .safetensors_files import optional

_PLAIN = (str, int, float, bool, type(None))
_DICTS = {"dict": dict, "OrderedDict": OrderedDict}


class Checkpointer:
    """Saves and restores the parts of a training run, by step.

    A save returns as soon as the contents are safe from later training; they are written in the background. On several
    hosts every process takes part in each call, and writes the shards it holds; what each holds by itself (generators,
    unsharded parameters) is taken from the first.

    Args:
        directory: where the steps are kept, one folder each; made if missing.
        max_to_keep: how many steps to keep; None keeps all.
        save_interval_steps: ``save`` passes over steps in between, unless it is told to ``force``.
        asynchronous: False writes before ``save`` returns.

    Raises:
        ImportError: orbax is not installed.

    Example:
        >>> import tempfile
        >>> import rushlight as torch
        >>> model = torch.nn.Linear(2, 3)
        >>> with Checkpointer(tempfile.mkdtemp()) as saved:
        ...     saved.save(7, model=model, epoch=1)
        ...     saved.restore(model=model)
        True
        {'step': 7, 'epoch': 1}
    """

    def __init__(
        self, directory, *, max_to_keep: int | None = None, save_interval_steps: int = 1, asynchronous: bool = True
    ):
        self._orbax = optional("orbax.checkpoint", "a Checkpointer", "orbax")
        options = self._orbax.CheckpointManagerOptions(
            max_to_keep=max_to_keep,
            save_interval_steps=save_interval_steps,
            enable_async_checkpointing=asynchronous,
        )
        self._manager = self._orbax.CheckpointManager(os.path.abspath(os.fspath(directory)), options=options)
        self._held: list = []

    def save(self, step: int, *, force: bool = False, **parts) -> bool:
        """Save parts of the run under a step.

        Args:
            step: its number.
            force: save also where the interval would pass over it.
            parts: modules, optimizers, schedulers and the like (what has ``state_dict``), generators, and plain values
                or tensors in any nesting of dicts, lists and tuples, each under a name.

        Returns:
            bool: whether it was saved.

        Raises:
            TypeError: a part holds something else.
            ValueError: the step is there already.
        """
        if not force and not self._manager.should_save(step):
            return False
        self.wait()
        found: dict[str, Tensor] = {}
        seen: dict = {}
        tree = {
            name: {"loads": _loader_of(part) is not None, "state": encode(_state_of(part), name, found, seen)}
            for name, part in parts.items()
        }
        arrays: dict[str, Any] = {path: _writable(tensor._array()) for path, tensor in found.items()}
        # While these are held, compiled training steps write elsewhere instead of into them.
        self._held = list(arrays.values())
        described = {key: [list(a.shape), _name_of(found[key], a)] for key, a in arrays.items()}
        args = self._orbax.args
        saved = self._manager.save(
            step,
            args=args.Composite(
                # orbax refuses to write nothing.
                arrays=args.PyTreeSave(arrays or {"": jax.numpy.zeros(1)}),
                tree=args.JsonSave({"version": 1, "parts": tree, "arrays": described}),
            ),
            force=force,
        )
        if not saved:
            raise ValueError(f"save({step}): expected a step after {self.latest_step()}, which is saved already.")
        return True

    def restore(self, step: int | None = None, **parts) -> dict[str, Any]:
        """Bring parts of the run back; arrays come back onto the devices where the parts have theirs.

        Args:
            step: which; None for the latest.
            parts: what to load into, under the names of ``save``; parts left out are not loaded.

        Returns:
            dict: ``step``, and the saved values that are not loaded into an object.

        Raises:
            FileNotFoundError: there is no such step.
            KeyError: the step has no part of a name.
            RuntimeError: a state does not fit its object.
        """
        self.wait()
        steps = self.all_steps()
        step = (steps[-1] if steps else None) if step is None else step
        if step is None or step not in steps:
            raise FileNotFoundError(
                f"restore({'' if step is None else step}): expected a saved step in '{self._manager.directory}', "
                f"received {steps or 'an empty folder'}"
            )
        args = self._orbax.args
        described = self._manager.restore(step, args=args.Composite(tree=args.JsonRestore()))["tree"]
        unknown = [name for name in parts if name not in described["parts"]]
        if unknown:
            raise KeyError(f"step {step} holds {', '.join(described['parts'])}, not {', '.join(unknown)}")
        loaded = {name for name, part in parts.items() if _loader_of(part) is not None}
        wanted = [name for name, part in described["parts"].items() if name in loaded or not part["loads"]]
        where: dict[str, Any] = {}
        for name in loaded:
            _shardings(_state_of(parts[name]), name, where)
        like = {
            key: jax.ShapeDtypeStruct(tuple(shape), dtypes.named(dtype).np, sharding=where.get(key) or _default())
            for key, (shape, dtype) in (described["arrays"] or {"": [[1], "float32"]}).items()
        }
        how = {
            key: self._orbax.RestoreArgs(restore_type=np.ndarray)
            if _is_local(form.sharding)
            else self._orbax.ArrayRestoreArgs(sharding=form.sharding)
            for key, form in like.items()
        }
        restore = args.PyTreeRestore(like, restore_args=how)
        arrays = self._manager.restore(step, args=args.Composite(arrays=restore))["arrays"]
        arrays = {
            key: jax.device_put(array, like[key].sharding) if _is_local(like[key].sharding) else array
            for key, array in arrays.items()
        }
        made: dict[str, Tensor] = {}

        def tensor(path: str) -> Tensor:
            if path not in made:
                array = arrays[path]
                home = devices.of_jax(next(iter(array.devices())))
                made[path] = _made(array, home, described["arrays"][path][1])
            return made[path]

        found = {name: decode(described["parts"][name]["state"], tensor) for name in wanted}
        out: dict[str, Any] = {"step": step}
        for name, state in found.items():
            load = _loader_of(parts[name]) if name in loaded else None
            if load is None:
                out[name] = state
            else:
                load(state)
        return out

    def all_steps(self) -> list[int]:
        """The steps that are there, in order."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """The last step, or None."""
        return self._manager.latest_step()

    def wait(self) -> None:
        """Wait until everything is written."""
        self._manager.wait_until_finished()
        self._held = []

    def close(self) -> None:
        """Wait until everything is written, and let go of the folder."""
        self.wait()
        self._manager.close()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, *exc) -> None:
        self.close()


def _name_of(tensor: Tensor, array: Any) -> str:
    d = tensor.dtype
    return d.name if d is dtypes.complex32 else dtypes.from_numpy(array.dtype).name


def _made(array: Any, where: devices.device, dtype: str) -> Tensor:
    tensor = Tensor._of(array, where)
    return label(tensor) if dtype == "complex32" else tensor


def _is_local(sharding: Any) -> bool:
    """Whether a process of several holds all of an array by itself."""
    return jax.process_count() > 1 and sharding.is_fully_addressable


def _writable(array: jax.Array) -> Any:
    """What orbax takes: of an array that every process holds for itself, the first process writes its own."""
    return np.array(array) if _is_local(array.sharding) else array


def _default():
    return jax.sharding.SingleDeviceSharding(devices.jax_device(devices.resolve(None)))


# -- parts ----------------------------------------------------------------------------------------------------------


def _state_of(part):
    if isinstance(part, Generator):
        # The stream of the CPU and the key of compiled programs go on independently.
        key = part._key
        return {"generator": part.get_state(), "key": None if key is None else Tensor._of(key.array, devices.cpu)}
    make = getattr(part, "state_dict", None)
    return make() if callable(make) else part


def _loader_of(part) -> Callable | None:
    if isinstance(part, Generator):
        return lambda state: _restore_generator(part, state)
    load = getattr(part, "load_state_dict", None)
    return load if callable(load) else None


def _restore_generator(generator: Generator, state: dict) -> None:
    generator.set_state(state["generator"])
    if state["key"] is not None:
        generator.key_storage().write(state["key"]._array())


def encode(value, path: str, found: dict[str, Tensor], seen: dict):
    """JSON for a nest of plain values, with each tensor moved to ``found`` under its path.

    Args:
        value: dicts, lists, tuples, plain values and tensors.
        path: of the value, parts joined by slashes.
        found: gets the tensors; several names of one tensor become one.
        seen: empty at first, and the same for all parts.

    Raises:
        TypeError: the value holds something else.
    """
    if isinstance(value, _PLAIN):
        return {"float": repr(value)} if isinstance(value, float) and value - value != 0 else value
    if isinstance(value, Tensor) and not value.numel():
        # orbax refuses arrays without elements.
        return {"empty": [[int(n) for n in value.shape], value.dtype.name]}
    if isinstance(value, Tensor):
        key = id(value._storage), value.dtype.name, *value._geometry()
        path = seen.setdefault(key, path)
        found[path] = value
        return {"tensor": path}
    if isinstance(value, (list, tuple)):
        items = [encode(v, f"{path}/{i}", found, seen) for i, v in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        items = [[encode(k, path, found, seen), encode(v, f"{path}/{k}", found, seen)] for k, v in value.items()]
        out: dict[str, Any] = {"OrderedDict" if isinstance(value, OrderedDict) else "dict": items}
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            out["metadata"] = encode(metadata, path, found, seen)
        return out
    raise TypeError(
        f"Checkpointer: expected plain values, tensors, dicts, lists and tuples, received {type(value).__name__} at "
        f"'{path}'. Give an object with state_dict() and load_state_dict(), or save it with torch.save."
    )


def decode(value, tensor: Callable[[str], Tensor]):
    """What ``encode`` took apart; ``tensor`` gives what belongs under a path."""
    if isinstance(value, list):
        return [decode(v, tensor) for v in value]
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "tensor" in value:
        return tensor(value["tensor"])
    if "empty" in value:
        shape, dtype = value["empty"]
        return _made(jax.numpy.zeros(shape, dtypes.named(dtype).np), devices.cpu, dtype)
    if "tuple" in value:
        return tuple(decode(v, tensor) for v in value["tuple"])
    kind = next(name for name in _DICTS if name in value)
    out = _DICTS[kind]((decode(k, tensor), decode(v, tensor)) for k, v in value[kind])
    if "metadata" in value:
        out._metadata = decode(value["metadata"], tensor)
    return out


def _shardings(state, path: str, out: dict) -> None:
    """Where the arrays of an object's present state live, by path."""
    if isinstance(state, Tensor):
        array = state._array()
        if not isinstance(array, jax.ShapeDtypeStruct):
            out.setdefault(path, array.sharding)
    elif isinstance(state, dict):
        for key, value in state.items():
            _shardings(value, f"{path}/{key}", out)
    elif isinstance(state, (list, tuple)):
        for i, value in enumerate(state):
            _shardings(value, f"{path}/{i}", out)
