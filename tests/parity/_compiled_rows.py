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


def check_compiled(entry, count=1, values=True, tol=None, skip=None, **_):
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


def check_out(entry, count=2, values=True, skip=None, **_):
    """Hold ``out=`` to torch: of the right size, empty, of another dtype; the tensor that was given comes back."""
    checked = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in chosen(entry, count, skip):
            ends, plain = [], []
            for lib, (input, args, kwargs), function in (
                (torch, run.theirs, entry.op), (rushlight, run.ours, port(entry.op)),
            ):  # fmt: skip
                given = walk((input, args, kwargs), lambda v: v.detach() if hasattr(v, "detach") else v)
                lib.manual_seed(0)
                ends.append(_out_forms(lib, function, plain, *given))
            for (how, got, error), (_, expected, refused) in zip(ends[1], ends[0]):
                label = f"{run.label}: out= {how}"
                if refused is not None or not _kept(how, expected, plain):
                    continue  # what torch refuses is for the walk of refusals to see; some kernels write out of place
                assert error is None, f"{label}: {error!r}"
                checked += 1
                for g, e in zip(got, expected):
                    if values:
                        compare(label, g, e, name_of(run.dtype))
                    else:
                        assert (name_of(g.dtype), tuple(g.shape)) == (name_of(e.dtype), tuple(e.shape)), label
    return checked


def _kept(how, written, plain) -> bool:
    """Whether torch wrote what it gives without ``out=``."""
    return how != "not contiguous" or all(torch.equal(w.nan_to_num(), p.nan_to_num()) for w, p in zip(written, plain))


def _out_forms(lib, function, plain, input, args, kwargs):
    """What each form of ``out=`` gives: (which, the tensors written to, the exception)."""
    try:
        result, _ = flat(function(input, *args, **kwargs))
    except Exception as error:
        return [("none", [], error)]
    if lib is torch:
        plain += result
    found = []
    for how, make_out in (
        ("like the result", lambda x: lib.empty_like(x).fill_(1)),
        ("empty", lambda x: lib.empty((0,), dtype=x.dtype)),
        ("not contiguous", lambda x: lib.empty((*x.shape, 2), dtype=x.dtype).fill_(1)[..., 0]),
    ):
        try:
            out = [make_out(x) for x in result]
            lib.manual_seed(0)
            back, _ = flat(function(input, *args, **kwargs, out=out[0] if len(out) == 1 else tuple(out)))
            assert all(b is o for b, o in zip(back, out)), "another tensor came back"
            found.append((how, out, None))
        except Exception as error:
            found.append((how, None, error))
    return found


__all__ = ["Eager", "check_compiled", "check_out"]
