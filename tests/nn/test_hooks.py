"""Owns the tests of hooks around a call and its gradients: order, arguments, replacement, failure, removal.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref

import pytest
from module_programs import small

import rushlight as torch
from rushlight import nn
from rushlight.utils.hooks import RemovableHandle

Small = small(torch)
everywhere = nn.modules.module


class Scale(nn.Module):
    """One step of the tape."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x):
        return x * self.weight


class Named(nn.Module):
    def forward(self, x, *, y=1):
        if y is None:
            raise ValueError("forward failed")
        return x * y


def x(requires_grad=True):
    return torch.ones(2, requires_grad=requires_grad)


# -- forward ----------------------------------------------------------------------------------------------------


def test_forward_pre_hooks_replace_the_arguments_in_order():
    m = Named()
    m.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    m.register_forward_pre_hook(lambda m, args: args[0] * 10)
    m.register_forward_pre_hook(lambda m, args: (args[0] + 5,), prepend=True)
    m.register_forward_pre_hook(lambda m, args: None)
    assert m(torch.zeros(1)).item() == 60


def test_forward_hooks_replace_the_result_in_order():
    m = Named()
    m.register_forward_hook(lambda m, args, out: out + 1)
    m.register_forward_hook(lambda m, args, out: out * 10)
    m.register_forward_hook(lambda m, args, out: out + 5, prepend=True)
    m.register_forward_hook(lambda m, args, out: None)
    assert m(torch.zeros(1)).item() == 60


def test_keyword_arguments():
    m, seen = Named(), []
    m.register_forward_pre_hook(lambda m, args, kwargs: (args, {"y": kwargs["y"] + 1}), with_kwargs=True)
    m.register_forward_hook(lambda m, args, kwargs, out: seen.append((kwargs, out.item())), with_kwargs=True)
    m.register_forward_hook(lambda m, args, out: seen.append(len(args)))
    assert m(torch.ones(1), y=2).item() == 3
    assert seen == [({"y": 3}, 3.0), 1]


def test_a_pre_hook_with_keyword_arguments_returns_both():
    m = Named()
    m.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"forward pre-hook must return None or a tuple of .new_args, new_kwargs."):
        m(torch.ones(1))


def test_hooks_that_are_always_called():
    m, seen = Named(), []
    m.register_forward_hook(lambda m, args, out: seen.append("plain"))
    m.register_forward_hook(lambda m, args, out: seen.append(("always", out)), always_call=True)
    m.register_forward_hook(lambda m, a, k, out: seen.append(("both", k)), always_call=True, with_kwargs=True)
    with pytest.raises(ValueError, match="forward failed"):
        m(1, y=None)
    assert seen == [("always", None), ("both", {"y": None})]
    seen.clear()
    assert m(1) == 1 and seen == ["plain", ("always", 1), ("both", {})]


def test_an_always_called_hook_runs_once_where_a_later_hook_fails():
    m, seen = Named(), []
    m.register_forward_hook(lambda m, args, out: seen.append("always"), always_call=True)
    m.register_forward_hook(lambda m, args, out: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        m(1)
    assert seen == ["always"]


def test_an_always_called_hook_that_fails_after_a_failure_becomes_a_warning():
    m = Named()
    m.register_forward_hook(lambda m, args, out: 1 / 0, always_call=True)
    with (
        pytest.warns(UserWarning, match=r"with ``always_call=True`` raised an exception that was silenced"),
        pytest.raises(ValueError, match="forward failed"),
    ):
        m(1, y=None)
    with pytest.raises(ZeroDivisionError):
        m(1)


def test_a_pre_hook_that_fails_runs_the_always_called_ones():
    m, seen = Named(), []
    m.register_forward_pre_hook(lambda m, args: 1 / 0)
    m.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(ZeroDivisionError):
        m(1)
    assert seen == [None]


def test_the_hooks_of_all_modules_run_before_a_modules_own():
    m, seen = nn.Sequential(Scale()), []
    m[0].register_forward_pre_hook(lambda m, args: seen.append("own pre"))
    m[0].register_forward_hook(lambda m, args, out: seen.append("own"))
    with (
        everywhere.register_module_forward_pre_hook(lambda m, args: seen.append(("pre", type(m).__name__))),
        everywhere.register_module_forward_hook(lambda m, args, out: seen.append(("post", type(m).__name__))),
        everywhere.register_module_forward_hook(lambda m, a, k, out: seen.append(k), with_kwargs=True),
    ):
        m(x())
    assert seen == [
        ("pre", "Sequential"), ("pre", "Scale"), "own pre", ("post", "Scale"), {}, "own", ("post", "Sequential"), {},
    ]  # fmt: skip
    seen.clear()
    m(x())
    assert seen == ["own pre", "own"]


def test_a_hook_of_all_modules_that_is_always_called():
    seen = []
    with (
        everywhere.register_module_forward_hook(lambda m, args, out: seen.append(out), always_call=True),
        pytest.raises(ValueError),
    ):
        Named()(1, y=None)
    assert seen == [None]


def test_a_hook_added_after_calls_without_any():
    m, seen = Scale(), []
    m(x())
    m(x())
    handle = m.register_forward_hook(lambda *args: seen.append(1))
    m(x())
    handle.remove()
    m(x())
    m._forward_hooks[7] = lambda *args: seen.append(2)
    m(x())
    assert seen == [1, 2]


def test_a_hook_may_remove_itself():
    m, seen = Scale(), []

    def once(m, args, out):
        seen.append(1)
        handle.remove()

    handle = m.register_forward_hook(once)
    m.register_forward_hook(lambda m, args, out: seen.append(2))
    m(x())
    m(x())
    assert seen == [1, 2, 2]


def test_capturing_activations():
    """What hooks are for."""
    net, found = nn.Sequential(Scale(), Scale()), {}
    for name, m in net.named_children():
        m.register_forward_hook(lambda m, args, out, name=name: found.update({name: out.detach()}))
    net(x())
    assert {k: v.tolist() for k, v in found.items()} == {"0": [1.0, 2.0], "1": [1.0, 4.0]}


# -- backward ---------------------------------------------------------------------------------------------------


def test_full_backward_hooks_see_and_replace_gradients():
    m, seen, a = Scale(), [], x()
    m.register_full_backward_pre_hook(lambda m, out: (out[0] * 2,))
    m.register_full_backward_pre_hook(lambda m, out: seen.append(("first", out[0].tolist())), prepend=True)
    m.register_full_backward_hook(lambda m, inp, out: seen.append((inp[0].tolist(), out[0].tolist())))
    m.register_full_backward_hook(lambda m, inp, out: (inp[0] * 10,))
    m.register_full_backward_hook(lambda m, inp, out: seen.append("prepended"), prepend=True)
    m(a).sum().backward()
    assert seen == [("first", [1.0, 1.0]), "prepended", ([2.0, 4.0], [2.0, 2.0])]
    assert a.grad.tolist() == [20.0, 40.0] and m.weight.grad.tolist() == [2.0, 2.0]


def test_several_arguments_and_results():
    class Several(nn.Module):
        def forward(self, a, n, b):
            return a * 2, b * 3, n

    m, seen = Several(), []
    m.register_full_backward_hook(lambda m, inp, out: seen.append((inp, out)))
    a, b = x(), x(False)
    first, second, n = m(a, 5, b)
    assert n == 5 and not b.requires_grad
    first.sum().backward()
    ((inp, out),) = seen
    assert len(inp) == 3 and inp[0].tolist() == [2.0, 2.0] and inp[1] is None
    assert len(out) == 3 and out[0].tolist() == [1.0, 1.0] and out[1] is None and out[2] is None
    assert second.shape == (2,)


@pytest.mark.parametrize("register, text", [
    (lambda m: m.register_full_backward_hook(lambda m, i, o: (i[0], i[0])),
     "Backward hook returned an invalid number of grad_input, got 2, but expected 1"),
    (lambda m: m.register_full_backward_pre_hook(lambda m, o: (o[0], o[0])),
     "Backward pre hook returned an invalid number of grad_output, got 2, but expected 1"),
])  # fmt: skip
def test_wrong_numbers_of_gradients(register, text):
    m = Scale()
    register(m)
    with pytest.raises(RuntimeError, match=text):
        m(x()).sum().backward()


def test_inputs_without_gradients_warn_and_cannot_be_replaced():
    m, seen = Scale(), []
    m.register_full_backward_hook(lambda m, inp, out: seen.append((inp, out[0].tolist())))
    with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed with respect to"):
        m(x(False)).sum().backward()
    assert seen == [((None,), [1.0, 1.0])] and m.weight.grad.tolist() == [1.0, 1.0]


def test_results_that_are_no_tensors_warn():
    class Dict(nn.Module):
        def forward(self, a):
            return {"a": a * 2}

    m = Dict()
    m.register_full_backward_hook(lambda m, inp, out: None)
    with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors but received"):
        m(x())


def test_in_place_on_what_is_watched_is_refused():
    class InPlace(nn.Module):
        def forward(self, a):
            return a.mul_(2)

    m = InPlace()
    m.register_full_backward_hook(lambda m, inp, out: None)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        m(x() * 1)


def test_without_gradients_no_backward_hooks():
    m, seen = Scale(), []
    m.register_full_backward_hook(lambda *args: seen.append(1))
    with torch.no_grad():
        assert not m(x()).requires_grad
    assert seen == []


def test_second_order_through_hooks():
    m = Scale()
    m.register_full_backward_hook(lambda m, inp, out: (inp[0] * 3,))
    a = x()
    (g,) = torch.autograd.grad((m(a) ** 2).sum(), a, create_graph=True)
    assert g.tolist() == [6.0, 24.0]
    g.sum().backward()
    assert a.grad is not None


def test_the_backward_hooks_of_all_modules():
    m, seen, a = nn.Sequential(Scale(), Scale()), [], x()
    with (
        everywhere.register_module_full_backward_pre_hook(lambda m, out: seen.append(("pre", type(m).__name__))),
        everywhere.register_module_full_backward_hook(lambda m, i, o: seen.append(("post", type(m).__name__))),
    ):
        m(a).sum().backward()
    assert seen == [
        ("pre", "Sequential"), ("pre", "Scale"), ("post", "Scale"), ("pre", "Scale"), ("post", "Scale"),
        ("post", "Sequential"),
    ]  # fmt: skip


def test_the_legacy_hook():
    m, seen = Scale(), []
    m.register_backward_hook(lambda m, inp, out: seen.append(([g.tolist() for g in inp], out[0].tolist())))
    a = x()
    with pytest.warns(FutureWarning, match="when the forward contains multiple autograd Nodes"):
        m(a).sum().backward()
    assert seen == [([[1.0, 2.0], [1.0, 1.0]], [1.0, 1.0])]


def test_the_legacy_hook_warns_where_it_misses_gradients():
    class Two(nn.Module):
        def forward(self, a):
            return a * 2 + 1

    m = Two()
    m.register_backward_hook(lambda *args: None)
    with pytest.warns(FutureWarning, match="when the forward contains multiple autograd Nodes is deprecated"):
        m(x())


def test_the_legacy_hook_of_all_modules():
    seen = []
    with everywhere.register_module_backward_hook(lambda m, inp, out: seen.append(type(m).__name__)):
        with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks as a"):
            everywhere.register_module_full_backward_hook(print)
        m = Named()
        m(x() * 1).sum().backward()
        assert seen == ["Named"]
        loss = Named()(x() * 1).sum()
        gc.collect()
        with pytest.raises(RuntimeError, match="You are trying to call the hook of a dead Module!"):
            loss.backward()


def test_one_kind_of_backward_hook_only():
    full, legacy = Scale(), Scale()
    full.register_full_backward_hook(print)
    legacy.register_backward_hook(print)
    for register in (full.register_backward_hook, legacy.register_full_backward_hook):
        with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks on a"):
            register(print)
    with everywhere.register_module_full_backward_hook(lambda *args: None), pytest.raises(RuntimeError, match="as a g"):
        everywhere.register_module_backward_hook(print)


# -- handles and tables -----------------------------------------------------------------------------------------


def test_handles():
    m = Scale()
    handle = m.register_forward_hook(print)
    assert isinstance(handle, RemovableHandle) and handle.id in m._forward_hooks
    handle.remove()
    handle.remove()
    assert len(m._forward_hooks) == 0
    with m.register_forward_pre_hook(print) as inner:
        assert inner.id in m._forward_pre_hooks
    assert len(m._forward_pre_hooks) == 0
    ids = [m.register_forward_hook(print).id for _ in range(3)]
    assert ids == sorted(ids) and len(set(ids)) == 3


def test_a_handle_does_not_keep_the_module_alive():
    m = Scale()
    handle, ref = m.register_forward_hook(print), weakref.ref(m)
    del m
    gc.collect()
    assert ref() is None
    handle.remove()


def test_the_flags_are_shown_in_torchs_tables():
    m = Scale()
    plain = m.register_forward_hook(print)
    both = m.register_forward_hook(print, with_kwargs=True, always_call=True)
    pre = m.register_forward_pre_hook(print, with_kwargs=True)
    assert m._forward_hooks_with_kwargs == {both.id: True} and m._forward_hooks_always_called == {both.id: True}
    assert m._forward_pre_hooks_with_kwargs == {pre.id: True} and set(m._forward_hooks) == {plain.id, both.id}


def shift(m, args, out):
    return out + 1


def keyed(m, args, kwargs, out):
    return out * 10


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_hooks_are_copied_with_their_flags(copied):
    m = Small()
    m.register_forward_hook(shift)
    m.register_forward_hook(keyed, with_kwargs=True)
    other = copied(m) if copied is copy.deepcopy else copied(_hooked())
    assert other(torch.zeros(2)).tolist() == [20.0, 20.0]


class Picklable(nn.Module):
    def forward(self, a):
        return a + 1


def _hooked():
    m = Picklable()
    m.register_forward_hook(shift)
    m.register_forward_hook(keyed, with_kwargs=True)
    return m


def test_a_copys_hooks_are_its_own():
    m = Scale()
    m.register_forward_hook(shift)
    other = copy.deepcopy(m)
    other._forward_hooks.clear()
    assert m(torch.zeros(2)).tolist() == [1.0, 1.0] and other(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_no_hook_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = nn.Sequential(Scale(), Named())
        m(x()).sum().backward()
