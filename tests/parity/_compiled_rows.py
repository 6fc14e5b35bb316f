"""Runs entries of PyTorch's operator database inside ``rushlight.compile``, and compares with what they give eagerly.

The first samples of each entry, in the widest dtype it takes, with their gradients.
"""

import warnings
import zlib

import numpy as np
from parity._op_db import _PLAIN, START, Run, _identity, name, port, runs, tensors_in, torch, walk
from parity._table import _cotangent, compare, flat, make, name_of

import rushlight

_DTYPES = (torch.float64, torch.complex128, torch.float32, torch.int64, torch.bool)


class Eager(Exception):
    """The entry runs inside ``compile``, but not as a program: it looks at values."""


def _copy(value):
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, rushlight.Tensor) else value


def _same(label, got, expected, dtype, values, tol):
    if not isinstance(expected, rushlight.Tensor):
        assert type(got) is type(expected) and (got == expected or not values), f"{label}: {got!r} is not {expected!r}"
        return
    assert isinstance(got, rushlight.Tensor), f"{label}: {got!r} is not a tensor"
    kinds = [(name_of(x.dtype), tuple(x.shape)) for x in (got, expected)]
    assert kinds[0] == kinds[1], f"{label}: {kinds[0]} is not {kinds[1]}"
    if values:
        plain = expected.detach()
        wide = plain.to(rushlight.float32) if name_of(plain.dtype) == "bfloat16" else plain
        as_torch = torch.as_tensor(np.asarray(wide.numpy()).copy()).to(getattr(torch, name_of(plain.dtype)))
        compare(label, got, as_torch, dtype, tol)


def _step(run: Run):
    """The whole of a sample as one function of its arguments: results and gradients."""
    function, process, wrapper = port(run.entry.op), run.sample.output_process_fn_grad, run.entry.gradcheck_wrapper
    guarded = run.grad and wrapper is not _PLAIN and "masked" not in wrapper.__name__
    guard = port(wrapper) if guarded else None
    process = None if process is None or _identity(process) else port(process)

    def step(input, args, kwargs):
        wanted = [t for t in tensors_in((input, args, kwargs)) if t.requires_grad]
        result = function(input, *args, **kwargs) if guard is None else guard(function, input, *args, **kwargs)
        leaves, _ = flat(result if process is None else process(result))
        roots = [x for x in leaves if isinstance(x, rushlight.Tensor) and x.requires_grad]
        grads = []
        if run.grad and roots and wanted:
            grads = rushlight.autograd.grad(roots, wanted, _starts(roots), allow_unused=True)
        return [x.detach() if isinstance(x, rushlight.Tensor) else x for x in leaves], list(grads)

    return step


def _starts(roots):
    """What gradients start from: the same numbers for all results of a dtype and a shape."""
    return [make(rushlight, _cotangent(np.random.default_rng(1), x), name_of(x.dtype)) for x in roots]


def chosen(entry, count, skip=None):
    """The first samples, in the first of the dtypes that the entry takes."""
    for dtype in _DTYPES:
        found = [run for run in runs(entry, {dtype: count}) if skip is None or not skip(run.sample)]
        if found:
            return found
    return runs(entry, dict.fromkeys(entry.supported_dtypes("cpu"), 1))[:count]


def check_compiled(entry, count=1, values=True, tol=None, skip=None):
    """Hold an entry inside ``compile`` to the same entry outside.

    Args:
        count: how many samples.
        values: False compares dtypes and shapes alone.

    Raises:
        Eager: it is no program, but gives the same.
    """
    seed = zlib.crc32(name(entry).encode())
    reason = None
    todo = chosen(entry, count, skip)
    assert todo, "the entry has no sample that could run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in todo:
            step = _step(run)
            rushlight.manual_seed(seed)
            expected, refused = _attempt(step, *walk(run.ours, _copy))
            exact = values and _seedless(step, run, expected, seed)
            program = rushlight.compile(step, fullgraph=True)
            rushlight.manual_seed(seed)
            got, error = _attempt(program, *walk(run.ours, _copy))
            if isinstance(error, NotImplementedError) and "fullgraph=True" in str(error) and refused is None:
                reason = str(error)
                rushlight.manual_seed(seed)
                got, error = _attempt(rushlight.compile(step), *walk(run.ours, _copy))
            if refused is not None:
                assert type(error) is type(refused), f"{run.label}: compiled: {error!r}, eagerly {refused!r}"
                continue
            if error is not None:
                raise AssertionError(f"{run.label}: compiled: {error!r}") from error
            for what, ours, plain in (("result", got[0], expected[0]), ("gradient", got[1], expected[1])):
                assert len(ours) == len(plain), f"{run.label}: compiled: {len(ours)} {what}s, expected {len(plain)}"
                for i, (g, e) in enumerate(zip(ours, plain)):
                    label = f"{run.label}: compiled: {what} {i}"
                    _same(label, g, e, name_of(run.dtype), exact, tol)
    if reason is not None:
        raise Eager(reason)


def _attempt(function, *args):
    try:
        return function(*args), None
    except Exception as error:
        return None, error


def _seedless(step, run, expected, seed) -> bool:
    """Whether results are the same for another seed: random numbers come from another stream inside a program."""
    rushlight.manual_seed(seed + 1)
    START[0] += 1
    again, _ = _attempt(step, *walk(run.ours, _copy))
    START[0] -= 1
    if again is None or expected is None:
        return True
    return all(
        x.shape != y.shape
        or rushlight.equal(
            x.nan_to_num() if x.is_floating_point() else x, y.nan_to_num() if y.is_floating_point() else y
        )
        for x, y in zip(again[0], expected[0])
        if isinstance(x, rushlight.Tensor)
    )


def check_out(entry, count=1, values=True, skip=None):
    """Hold ``out=`` to torch: of the right size, empty, with gaps; what is written is what comes back without it.

    Args:
        count: how many samples.
        values: False compares dtypes and shapes alone.

    Returns:
        int: how many forms of ``out=`` torch takes for them.
    """
    checked = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in chosen(entry, count, skip):
            theirs = _out_forms(torch, entry.op, *walk(run.theirs, _plain))
            ours = _out_forms(rushlight, port(entry.op), *walk(run.ours, _plain))
            for (how, got, without, error), (_, expected, result, refused) in zip(ours, theirs):
                label = f"{run.label}: out= {how}"
                if refused is not None or not _kept(expected, result):
                    continue  # what torch refuses is for the walk of refusals to see; some kernels write out of place
                assert error is None, f"{label}: {error!r}"
                checked += 1
                for g, e, w in zip(got, expected, without):
                    assert (name_of(g.dtype), tuple(g.shape)) == (name_of(e.dtype), tuple(e.shape)), label
                    _same(label, g, w, name_of(run.dtype), values, None)
    return checked


def _plain(value):
    return value.detach() if isinstance(value, (torch.Tensor, rushlight.Tensor)) else value


def _kept(written, plain) -> bool:
    """Whether torch wrote, with gaps too, what it gives without ``out=``."""
    return all(w.shape == p.shape and torch.equal(w.nan_to_num(), p.nan_to_num()) for w, p in zip(written, plain))


def _out_forms(lib, function, input, args, kwargs):
    """What each form of ``out=`` gives: (which, the tensors written to, what comes without, the exception)."""
    try:
        lib.manual_seed(0)
        result, _ = flat(function(input, *args, **kwargs))
    except Exception as error:
        return [("none", [], [], error)]
    found = []
    for how, make_out in (
        ("like the result", lambda x: lib.empty_like(x).fill_(1)),
        ("empty", lambda x: lib.empty((0,), dtype=x.dtype)),
        ("with gaps", lambda x: lib.empty((*x.shape, 2), dtype=x.dtype).fill_(1)[..., 0]),
    ):
        try:
            out = [make_out(x) for x in result]
            lib.manual_seed(0)
            back = function(input, *args, **kwargs, out=out[0] if len(out) == 1 else tuple(out))
            assert back is None or all(b is o for b, o in zip(flat(back)[0], out)), "another tensor came back"
            found.append((how, out, result, None))
        except Exception as error:
            found.append((how, None, result, error))
    return found


__all__ = ["Eager", "check_compiled", "check_out"]
