"""Builds the modules of PyTorch's own module table in torch and in rushlight, and compares all that can be seen of them.

The table (``torch.testing._internal.common_modules.module_db``) names each module class, with constructor arguments,
inputs and calls that have to be refused.
"""

import copy
import pickle
import re
import warnings
import zlib

import numpy as np
import pytest
from parity._op_db import move as move_value
from parity._op_db import port, spread, tensor_of
from parity._table import _cotangent, compare, flat, make, name_of

import rushlight

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's module table needs it")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

_PACKED = (torch.nn.utils.rnn.PackedSequence, rushlight.nn.utils.rnn.PackedSequence)


def class_of(entry):
    """rushlight's class that stands for the one an entry is about."""
    return getattr(rushlight.nn, entry.module_cls.__name__)


def samples(entry, dtype, training, count):
    """At most ``count`` of an entry's samples, evenly spread."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spread(list(entry.module_inputs_func(entry, "cpu", dtype, True, training)), count)


# -- moving arguments -----------------------------------------------------------------------------------------------


def _rebuild(value, leaf):
    """``value`` with ``leaf`` applied to what is not a container; packed sequences are containers."""
    if isinstance(value, _PACKED):
        items = [_rebuild(v, leaf) for v in value]
        ours = any(isinstance(v, rushlight.Tensor) for v in items)
        return _PACKED[ours](*items)
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(_rebuild(v, leaf) for v in value)
    if isinstance(value, dict):
        return {k: _rebuild(v, leaf) for k, v in value.items()}
    return leaf(value)


def moved(value):
    """Arguments of torch as arguments of rushlight: tensors that are one stay one."""
    held = {}

    def leaf(v):
        if isinstance(v, torch.Tensor):
            if id(v) not in held:
                held[id(v)] = tensor_of(v)
            return held[id(v)]
        if callable(v) and not isinstance(v, (type, torch.nn.Module)):
            return port(v)
        return move_value(v)

    return _rebuild(value, leaf)


def copied(value):
    """The same arguments with tensors of their own."""
    held = {}

    def leaf(v):
        if not isinstance(v, (torch.Tensor, rushlight.Tensor)):
            return v
        if id(v) not in held:
            held[id(v)] = v.detach().clone().requires_grad_(v.requires_grad)
        return held[id(v)]

    return _rebuild(value, leaf)


def tensors_in(value):
    """The tensors of a nested value, each once, in order."""
    found = {}

    def leaf(v):
        if isinstance(v, (torch.Tensor, rushlight.Tensor)):
            found.setdefault(id(v), v)
        return v

    _rebuild(value, leaf)
    return list(found.values())


def _leaves(result):
    return flat(_rebuild(result, lambda v: v) if not isinstance(result, _PACKED) else tuple(result))[0]


# -- running --------------------------------------------------------------------------------------------------------


def build(lib, kind, given, dtype, training, seed):
    """A module of a sample, in the given mode."""
    args, kwargs = given
    lib.manual_seed(seed)
    return kind(*args, **kwargs).to(getattr(lib, name_of(dtype))).train(training)


def cotangents(lib, leaves, seed):
    """What gradients start from: random numbers, the same for both libraries."""
    rng = np.random.default_rng(seed)
    return [make(lib, _cotangent(rng, x), name_of(x.dtype)) for x in leaves]


def pull(lib, module, args, kwargs, starts=None, seed=0):
    """Call a module.

    Returns:
        (results, which of them carry gradients, gradients of inputs and parameters)
    """
    leaves = _leaves(module(*args, **kwargs))
    tracked = [isinstance(x, lib.Tensor) and x.requires_grad for x in leaves]
    roots = [x for x, t in zip(leaves, tracked) if t]
    wanted = [t for t in tensors_in((args, kwargs)) if t.requires_grad] + list(module.parameters())
    grads = [None] * len(wanted)
    if roots and wanted:
        starts = cotangents(lib, roots, seed) if starts is None else starts
        grads = lib.autograd.grad(roots, wanted, starts, allow_unused=True)
    return leaves, tracked, list(grads)


def _tolerance(expected):
    """In single precision, small elements of a sum of large numbers are as exact as the largest."""
    if not isinstance(expected, torch.Tensor) or expected.dtype is not torch.float32 or expected.numel() == 0:
        return None
    return 2e-5, 2e-6 * max(1.0, float(expected.detach().abs().max())) * 4


def _agree(label, got, expected, dtype):
    assert len(got[0]) == len(expected[0]), f"{label}: {len(got[0])} results, expected {len(expected[0])}"
    assert got[1] == expected[1], f"{label}: requires_grad {got[1]}, expected {expected[1]}"
    assert len(got[2]) == len(expected[2]), f"{label}: {len(got[2])} gradients, expected {len(expected[2])}"
    for what, ours, theirs in (("result", got[0], expected[0]), ("gradient", got[2], expected[2])):
        for i, (g, e) in enumerate(zip(ours, theirs)):
            if g is None or e is None:
                some = e if g is None else g
                assert some is None or not some.any(), f"{label}: {what} {i} is {g}, expected {e}"
            else:
                compare(f"{label}: {what} {i}", g, e, name_of(dtype), _tolerance(e))


def _same_state(label, ours, theirs, dtype):
    got, expected = ours.state_dict(), theirs.state_dict()
    assert list(got) == list(expected), f"{label}: state {list(got)}, expected {list(expected)}"
    for key, value in expected.items():
        compare(f"{label}: {key}", got[key], value, name_of(dtype))


def _uninitialized(module):
    return any(type(p).__name__ == "UninitializedParameter" for p in module.parameters())


def _numbers(module):
    """A state dict of rushlight's as torch's."""
    return {
        k: torch.as_tensor(np.asarray(v.detach().numpy()).copy()) if hasattr(v, "numpy") else v
        for k, v in module.state_dict().items()
    }


def check_sample(entry, sample, dtype, training, compiled=False):
    """Hold one sample to torch: values, gradients, state, printed form, copies.

    Args:
        compiled: also run it as one program, and hold that to torch too.
    """
    label = f"{entry.name} {sample.desc} {name_of(dtype)} {'train' if training else 'eval'}"
    seed = zlib.crc32(label.encode())
    made, given = sample.constructor_input, sample.forward_input
    arguments = (list(made.args), dict(made.kwargs))
    theirs = build(torch, entry.module_cls, arguments, dtype, training, seed)
    ours = build(rushlight, class_of(entry), moved(arguments), dtype, training, seed)
    assert repr(ours) == repr(theirs), f"{label}: printed as {ours!r}, expected {theirs!r}"
    if not _uninitialized(theirs):
        # The same seed gives the same initial values, in another dtype than the default one too.
        _same_state(f"{label}: initial", ours, theirs, dtype)
        ours.load_state_dict({k: tensor_of(v) for k, v in theirs.state_dict().items()})

    call = (list(given.args), dict(given.kwargs))
    twin = copy.deepcopy(ours)
    whole = copy.deepcopy(ours)
    if _uninitialized(theirs):
        # A lazy layer draws its weights in its first call.
        for lib, module, held in ((torch, theirs, call), (rushlight, ours, moved(call))):
            lib.manual_seed(seed)
            module(*copied(held)[0], **copied(held)[1])
    torch.manual_seed(seed)
    expected = pull(torch, theirs, *copied(call), seed=seed)
    rushlight.manual_seed(seed)
    got = pull(rushlight, ours, *moved(copied(call)), seed=seed)
    _agree(label, got, expected, dtype)
    _same_state(f"{label}: afterwards", ours, theirs, dtype)
    assert repr(ours) == repr(theirs), f"{label}: printed as {ours!r} after a call"

    other = build(torch, entry.module_cls, arguments, dtype, training, seed + 1)
    if not _uninitialized(other):
        answer = other.load_state_dict(_numbers(ours))
        assert not answer.missing_keys and not answer.unexpected_keys
        _same_state(f"{label}: in torch", ours, other, dtype)
    for how, made_again in (("deepcopy", copy.deepcopy(ours)), ("pickle", pickle.loads(pickle.dumps(ours)))):
        _same_state(f"{label}: {how}", made_again, theirs, dtype)
        assert repr(made_again) == repr(theirs), f"{label}: {how} prints {made_again!r}"
        assert type(made_again) is type(ours), f"{label}: {how} is a {type(made_again)}"
    torch.manual_seed(seed)
    again = pull(torch, copy.deepcopy(theirs), *copied(call), seed=seed)
    rushlight.manual_seed(seed)
    _agree(
        f"{label}: copy",
        pull(rushlight, pickle.loads(pickle.dumps(ours)), *moved(copied(call)), seed=seed),
        again,
        dtype,
    )
    if compiled:
        check_compiled(label, whole if not _uninitialized(whole) else ours, twin, moved(copied(call)), dtype, seed)


def check_compiled(label, module, twin, call, dtype, seed):
    """The whole of a call with its gradients as one program gives what it gives eagerly."""
    if _uninitialized(twin):
        twin = copy.deepcopy(module)
    rushlight.manual_seed(seed)
    eager = pull(rushlight, twin, *copied(call), seed=seed)
    starts = cotangents(rushlight, [x for x, t in zip(eager[0], eager[1]) if t], seed)
    program = rushlight.compile(
        lambda args, kwargs, starts: pull(rushlight, module, args, kwargs, starts), fullgraph=True
    )
    rushlight.manual_seed(seed)
    got = program(*copied(call), starts)
    for what, ours, theirs in (("result", got[0], eager[0]), ("gradient", got[2], eager[2])):
        assert len(ours) == len(theirs), f"{label}: compiled: {len(ours)} {what}s, expected {len(theirs)}"
        for i, (g, e) in enumerate(zip(ours, theirs)):
            same(f"{label}: compiled: {what} {i}", g, e, dtype)
    for (key, g), e in zip(module.state_dict().items(), twin.state_dict().values()):
        same(f"{label}: compiled: {key}", g, e, dtype)


def same(label, got, expected, dtype):
    """Assert that two values of rushlight's are equal."""
    if isinstance(expected, rushlight.Tensor):
        expected = expected.detach()
        wide = expected.to(rushlight.float32) if name_of(expected.dtype) == "bfloat16" else expected
        as_torch = torch.as_tensor(np.asarray(wide.numpy()).copy()).to(getattr(torch, name_of(expected.dtype)))
        compare(label, got, as_torch, name_of(dtype))
    else:
        compare(label, got, expected, name_of(dtype))


def check_module(entry, count, compiled):
    """Hold one entry to torch.

    Args:
        count: how many samples in each mode.
        compiled: how many of them run compiled too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modes = (True, False)
        for training in modes:
            first = training or entry.train_and_eval_differ
            for i, sample in enumerate(samples(entry, torch.float64, training, count if first else 2)):
                check_sample(entry, sample, torch.float64, training, compiled=i < compiled)
        check_sample(entry, samples(entry, torch.float32, True, 1)[0], torch.float32, True)


def refusals(entry):
    """For each call that torch refuses: (what it is, torch's exception, rushlight's or None, the text to find)."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for training in (True, False):
            for item in entry.module_error_inputs_func(entry, "cpu", torch.float64, False, training):
                sample = item.module_error_input
                call = sample.forward_input if item.error_on is ModuleErrorEnum.FORWARD_ERROR else None
                errors = []
                for lib in (torch, rushlight):
                    move = (lambda v: v) if lib is torch else moved
                    kind = entry.module_cls if lib is torch else class_of(entry)
                    try:
                        made = sample.constructor_input
                        module = kind(*move(list(made.args)), **move(dict(made.kwargs)))
                        module = module.to(lib.float64).train(training)
                        if call is None:
                            errors.append(None)
                            continue
                    except Exception as error:
                        errors.append(error)
                        continue
                    try:
                        module(*move(list(call.args)), **move(dict(call.kwargs)))
                        errors.append(None)
                    except Exception as error:
                        errors.append(error)
                found.append((f"{entry.name} {item.error_regex}", *errors, item.error_regex))
    return found


def check_refusals(entry):
    """The calls that torch refuses raise exceptions of the same type, and with the words that the table expects."""
    for call, refused, error, words in refusals(entry):
        if refused is None:
            continue
        assert error is not None, f"{call}: torch raised {refused!r}, rushlight raised nothing"
        kinds = [type(e).__name__.lstrip("_") for e in (error, refused)]
        assert kinds[0] == kinds[1], f"{call}: {error!r} is not {refused!r}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the table's expressions are spelled badly
            said = not words or not re.search(words, str(refused)) or re.search(words, str(error))
        assert said, f"{call}: {error!r} says something else than {refused!r}"


__all__ = ["check_module", "check_refusals", "module_db"]
