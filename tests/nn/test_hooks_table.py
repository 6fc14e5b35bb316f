"""Owns the tests of what users see who look into a module's hook tables.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import rushlight as torch
from rushlight import nn


def before(module, args, kwargs):
    return args, {**kwargs}


def plain(module, args):
    return None


def after(module, args, result):
    return result + 1


def test_tables_hold_the_functions_themselves():
    model = nn.Linear(2, 2)
    first = model.register_forward_pre_hook(before, with_kwargs=True)
    model.register_forward_pre_hook(plain)
    model.register_forward_hook(after, always_call=True)
    model.register_full_backward_hook(after)
    table = model._forward_pre_hooks
    assert isinstance(table, OrderedDict) and list(table.values()) == [before, plain]
    assert all(hook in (before, plain) and hook.__name__ for hook in table.values())
    assert list(model._forward_hooks.values()) == [after] == list(model._backward_hooks.values())
    assert list(model._forward_pre_hooks_with_kwargs) == [first.id]
    assert table[first.id] is before and next(iter(table.items())) == (first.id, before)
    first.remove()
    assert list(table.values()) == [plain] and not model._forward_pre_hooks_with_kwargs


def test_flags_survive_copies_and_changes_by_hand():
    model = nn.Linear(2, 2)
    model.register_forward_pre_hook(before, with_kwargs=True)
    model.register_forward_hook(after)
    x = torch.ones(1, 2)
    wanted = model(x)
    for made in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(made(x), wanted) and list(made._forward_pre_hooks_with_kwargs.values()) == [True]
    key = next(iter(model._forward_hooks))
    model._forward_hooks[key] = lambda module, args, result: result + 3
    torch.testing.assert_close(model(x), wanted + 2)
    model._forward_hooks[key] = after
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted)
    model._forward_hooks.clear()
    torch.testing.assert_close(compiled(x), wanted - 1)
    model._forward_pre_hooks.clear()
    torch.testing.assert_close(compiled(x), wanted - 1)
    assert not model._forward_pre_hooks_with_kwargs
