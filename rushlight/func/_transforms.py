"""Owns the derivatives of functions: ``grad``, ``vjp``, ``jvp``, ``linearize`` and their kin.

May import this folder, the tape and the operators. Forward derivatives are the reverse walk of a reverse walk: linear
in the first one's cotangent, whose transpose is the pushforward; a compiler drops what of it is not used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .._graph.modes import enable_grad, state
from .._tensor.tensor import Tensor
from ..ops.creation import zeros_like
from ._reverse import any_history, close, filled, fresh, left, seen_from_outside, walk
from ._tree import flatten, map_leaves, unflatten

_JVP = "jvp(f, primals, tangents)"


def _check_argnums(argnums: Any, args: tuple) -> tuple[int, ...]:
    """Which arguments are meant, counted from the front.

    Raises:
        RuntimeError: there are not so many, one is named twice, or none is.
        TypeError: neither a number nor a tuple of numbers.
    """
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    for n in numbers:
        if not isinstance(n, int):
            raise RuntimeError(f"argnum must be int, got: {type(n)}")
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    numbers = tuple(n % len(args) for n in numbers)
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return numbers


def _chosen(args: tuple, argnums: Any, as_tuple: bool = True) -> Any:
    """The arguments meant; one argument stays by itself unless ``as_tuple``."""
    numbers = _check_argnums(argnums, args)
    if isinstance(argnums, int) and not as_tuple:
        return args[numbers[0]]
    return tuple(args[n] for n in numbers)


def _freshened(args: tuple, argnums: Any) -> tuple[tuple, list[Tensor], Any]:
    """The arguments with fresh tensors where they are meant, these tensors, and how they were nested."""
    if argnums is None:
        leaves, spec = flatten(args)
        inner = [fresh(x) for x in leaves]
        return unflatten(inner, spec), inner, spec
    numbers = _check_argnums(argnums, args)
    leaves, spec = flatten(_chosen(args, argnums, as_tuple=False))
    inner = [fresh(x) for x in leaves]
    made = unflatten(inner, spec)
    given = list(args)
    for n, value in zip(numbers, (made,) if isinstance(argnums, int) else made):
        given[n] = value
    return tuple(given), inner, spec


def _with_aux(result: Any, has_aux: bool, what: str) -> tuple:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def _tensors_only(value: Any, what: str) -> tuple[list[Tensor], Any]:
    leaves, spec = flatten(value)
    if not leaves:
        raise RuntimeError(f"{what}: Expected f to be a function that has non-empty output (got output = {leaves})")
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(
                f"{what}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}"
            )
    return leaves, spec


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradient of ``func``, and its value.

    Args:
        func: gives a scalar; or a scalar and something else, with ``has_aux``.
        argnums: the number of the argument to differentiate by, or a tuple of several.
        has_aux: the value is then ``(value, aux)``.

    Raises:
        RuntimeError: when called: the result is no scalar tensor, or there is no such argument.

    Example:
        >>> import rushlight as torch
        >>> torch.func.grad_and_value(lambda x: x**3)(torch.tensor(2.0))
        (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> tuple:
        with enable_grad():
            given, inner, spec = _freshened(args, argnums)
            what = "grad_and_value(f)(*args)"
            value, aux = _with_aux(func(*given, **kwargs), has_aux, what)
            if not isinstance(value, Tensor):
                raise RuntimeError(f"{what}: Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim() != 0:
                raise RuntimeError(
                    f"{what}: Expected f(*args) to return a scalar Tensor, got tensor with {value.dim()} dims. Maybe "
                    "you wanted to use the vjp or jacrev APIs instead?"
                )
            outside = seen_from_outside([value, *flatten(aux)[0]], inner)
            close(inner)
            found = filled(walk([value], inner, None, outside, outside), inner)
            grads = unflatten(found, spec)
            value = left(value, outside)
            if has_aux:
                return grads, (value, left(aux, outside))
            return grads, value

    return wrapper


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradient of ``func``.

    Args:
        func: gives a scalar; or a scalar and something else, with ``has_aux``.
        argnums: the number of the argument to differentiate by, or a tuple of several.
        has_aux: give ``(gradient, aux)``.

    Raises:
        RuntimeError: when called: the result is no scalar tensor, or there is no such argument.

    Example:
        >>> import rushlight as torch
        >>> torch.func.grad(torch.func.grad(torch.sin))(torch.tensor(0.0))
        tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return wrapper


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The value of ``func``, and the function from its cotangents to those of its arguments.

    Args:
        func: gives tensors; or tensors and something else, with ``has_aux``.
        primals: its arguments.
        has_aux: give ``(value, function, aux)``.

    Raises:
        RuntimeError: results that are not floating-point tensors; cotangents that are nested otherwise.

    Example:
        >>> import rushlight as torch
        >>> value, pull = torch.func.vjp(torch.sin, torch.tensor(0.0))
        >>> pull(torch.tensor(2.0))
        (tensor(2.),)
    """
    return vjp_by_number(func, primals, None, has_aux)


def vjp_by_number(func: Callable, primals: tuple, argnums: Any, has_aux: bool = False) -> tuple:
    """``vjp`` with respect to some arguments only."""
    with enable_grad():
        given, inner, spec = _freshened(primals, argnums)
        value, aux = _with_aux(func(*given), has_aux, "vjp(f, *primals)")
        outs, out_spec = _tensors_only(value, "vjp(f, *primals)")
        for out in outs:
            if not (out.is_floating_point() or out.is_complex()):
                raise RuntimeError(
                    "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype "
                    f"{out.dtype}"
                )
        outside = seen_from_outside([*outs, *flatten(aux)[0]], inner)
        close(inner)
        result = left(value, outside)
        aux = left(aux, outside) if has_aux else None

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        flat, given_spec = flatten(cotangents)
        if given_spec != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {given_spec}, primal output: {out_spec}"
            )
        taped = state.grad if create_graph is None else create_graph
        taped = taped and (outside or any_history(flat) or create_graph is True)
        return unflatten(filled(walk(outs, inner, flat, retain_graph, taped), inner), spec)

    return (result, pull, aux) if has_aux else (result, pull)


class _Pushforward:
    """The linear part of a function at a point: from tangents of its arguments to those of its results."""

    def __init__(self, outs: list[Tensor], inner: list[Tensor]):
        self.outs, self.inner = outs, inner
        with enable_grad():
            self.duals = [zeros_like(out.detach()) for out in outs]
            close(self.duals)
            wanted = [i for i, out in enumerate(outs) if out._edge() is not None]
            for i in wanted:
                self.duals[i].requires_grad_()
            self.pulled = walk(outs, inner, self.duals, True, True) if wanted else [None] * len(inner)
        self.wanted = wanted

    def __call__(self, tangents: list[Tensor], taped: bool, keep: bool) -> list[Tensor]:
        pairs = [(g, t) for g, t in zip(self.pulled, tangents) if g is not None and g._edge() is not None]
        duals = [self.duals[i] for i in self.wanted]
        found: list = [None] * len(duals)
        if pairs:
            found = walk([g for g, _ in pairs], duals, [t for _, t in pairs], keep, taped)
        supply = iter(found)
        out = [next(supply) if i in self.wanted else None for i in range(len(self.outs))]
        return filled(out, self.outs)


def jvp(
    func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple:  # fmt: skip
    """The value of ``func``, and its change along tangents of its arguments.

    Args:
        func: gives tensors; or tensors and something else, with ``has_aux``.
        primals: a tuple of its arguments.
        tangents: nested like them.
        strict: refuse results that do not depend on the arguments.
        has_aux: give ``(value, tangent, aux)``.

    Raises:
        RuntimeError: tangents that do not fit, results that are not tensors, or independent ones where ``strict``.

    Example:
        >>> import rushlight as torch
        >>> torch.func.jvp(torch.sin, (torch.tensor(0.0),), (torch.tensor(2.0),))
        (tensor(0.), tensor(2.))
    """
    return jvp_by_number(func, primals, tangents, None, strict, has_aux)


def jvp_by_number(func, primals, tangents, argnums, strict=False, has_aux=False) -> tuple:
    """``jvp`` with respect to some arguments only."""
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{_JVP}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    meant = primals if argnums is None else _chosen(primals, argnums)
    flat_primals, primals_spec = flatten(meant)
    flat_tangents, tangents_spec = flatten(tangents)
    if primals_spec != tangents_spec:
        raise RuntimeError(
            f"{_JVP}: Expected primals and tangents to have the same python structure. For example, if primals is a "
            "tuple of 3 tensors, tangents also must be. Got primals with structure "
            f"{primals_spec} and tangents with structure {tangents_spec}"
        )
    for name, leaves in (("primals", flat_primals), ("tangents", flat_tangents)):
        if not leaves:
            raise RuntimeError(f"{_JVP}: Expected {name} to contain at least one Tensor.")
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise RuntimeError(f"{_JVP}: Expected {name} to only contain Tensors, got {type(leaf)}")
    wanted = state.grad
    with enable_grad():
        given, inner, _ = _freshened(primals, argnums)
        value, aux = _with_aux(func(*given), has_aux, _JVP)
        outs, out_spec = _tensors_only(value, _JVP)
        outside = seen_from_outside([*outs, *flatten(aux)[0]], inner)
        close(inner)
    push = _Pushforward(outs, inner)
    if strict and len(push.wanted) < len(outs):
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed "
            "with strict=True."
        )
    taped = wanted and (outside or any_history(flat_tangents))
    moved = unflatten(push(flat_tangents, taped, taped), out_spec)
    result = left(value, outside), moved
    return (*result, left(aux, outside)) if has_aux else result


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """The value of ``func``, and its linear part there as a function of tangents, which can be called many times.

    Raises:
        RuntimeError: when called: tangents that do not fit.

    Example:
        >>> import rushlight as torch
        >>> value, push = torch.func.linearize(torch.sin, torch.tensor(0.0))
        >>> push(torch.tensor(2.0))
        tensor(2.)
    """
    with enable_grad():
        given, inner, spec = _freshened(primals, None)
        value = func(*given)
        outs, out_spec = _tensors_only(value, "linearize(f, *primals)")
        outside = seen_from_outside(outs, inner)
        close(inner)
    push = _Pushforward(outs, inner)

    def pushed(*tangents: Any) -> Any:
        flat, given_spec = flatten(tangents)
        if given_spec != spec:
            raise RuntimeError(f"Expected the tangents {given_spec} to have the same argspec as the primals {spec}")
        for i, (t, x) in enumerate(zip(flat, inner)):
            for what in ("shape", "device", "dtype"):
                if getattr(t, what) != getattr(x, what):
                    raise RuntimeError(
                        f"tangent:{i} with {what} {getattr(t, what)} in flattened pytree doesn't match the {what} "
                        f"{getattr(x, what)} of the corresponding primal."
                    )
        return unflatten(push(flat, state.grad and (outside or any_history(flat)), True), out_spec)

    return left(value, outside), pushed


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """The function as it is: arrays never change underneath, so that there is nothing to remove.

    Raises:
        RuntimeError: an unknown value of ``remove``.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program, and replaced "
            "with their out-of-place equivalents.\n     remove='mutations_and_views': In addition to the above, all "
            "aliasing operators {view} will be replaced with their non-aliasing counterparts, {view}_copy.\n"
        )
    return func


def debug_unwrap(tensor: Any, *, recurse: bool = True) -> Any:
    """The tensor itself: transforms do not wrap tensors here."""
    return tensor


def detached(value: Any) -> Any:
    """A nested value without histories."""
    return map_leaves(lambda x: x.detach() if isinstance(x, Tensor) else x, value)
