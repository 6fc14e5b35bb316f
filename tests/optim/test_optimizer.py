"""Owns the tests of what all optimizers share: groups, hooks, closures, copies, and when a step compiles.

May import rushlight and numpy.
"""

from __future__ import annotations

import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rushlight as torch
from rushlight import optim
from rushlight.optim import _fused, lbfgs
from rushlight.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    required,
)


def leaf(*values):
    p = torch.tensor(list(values), requires_grad=True)
    p.grad = torch.ones(len(values))
    return p


def compilations(run) -> int:
    """How many programs XLA compiled while ``run`` ran."""
    seen = []
    monitoring = jax.monitoring

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        run()
    finally:
        monitoring.unregister_event_duration_listener(listen)
    return len(seen)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.NAdam, optim.ASGD, optim.Adafactor])
def test_no_number_causes_a_compilation(kind):
    p = leaf(1.0, 2.0, 3.0)
    made = kind([p], lr=0.5)
    for _ in range(3):
        made.step()

    def run():
        for lr in (0.25, 3, 1e-5, 0):
            made.param_groups[0]["lr"] = lr
            made.step()

    assert compilations(run) == 0
    other = leaf(4.0, 5.0, 6.0)

    def another():
        again = kind([other], lr=0.125)
        for _ in range(3):
            again.step()

    assert compilations(another) == 0


def test_compilations_are_seen():
    """The count above means something: a new shape does compile."""
    made = optim.SGD([leaf(*map(float, range(7)))], lr=0.5)
    assert compilations(made.step) > 0


def test_the_array_of_numbers_is_kept_until_one_changes():
    p = leaf(1.0)
    made = optim.Adam([p], lr=0.5)
    made.step()
    (cell,) = (held for held in made._cells.values() if hasattr(held, "vector"))
    first = cell.vector._array()
    made.step()
    assert cell.vector._array() is first
    made.param_groups[0]["lr"] = 0.25
    made.step()
    (changed,) = (held for held in made._cells.values() if hasattr(held, "vector"))
    assert changed.vector is cell.vector
    assert changed.vector._array() is not first


def test_state_is_empty_until_the_first_step_and_only_for_stepped_parameters():
    p, q = leaf(1.0), leaf(2.0)
    q.grad = None
    made = optim.Adam([p, q])
    assert made.state_dict()["state"] == {}
    made.step()
    assert list(made.state_dict()["state"]) == [0]
    state = made.state[p]
    assert list(state) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["step"].dtype is torch.float32
    assert state["step"].shape == ()
    assert state["step"].item() == 1.0


def test_a_step_writes_in_place_and_leaves_saved_arrays_alone():
    p = leaf(1.0, 2.0)
    shared, before, version = p.detach(), p._array(), p._version
    made = optim.SGD([p], lr=1.0, momentum=0.5)
    made.step()
    held = made.state[p]["momentum_buffer"]
    made.step()
    assert made.state[p]["momentum_buffer"] is held
    assert p._version == version + 2
    np.testing.assert_array_equal(shared.numpy(), [-1.5, -0.5])
    np.testing.assert_array_equal(np.asarray(before), [1.0, 2.0])


def test_state_dict_shares_tensors_and_copies_do_not():
    p = leaf(1.0)
    made = optim.Adam([p], lr=0.5)
    made.step()
    live, copied = made.state_dict(), copy.deepcopy(made.state_dict())
    made.step()
    assert live["state"][0]["step"].item() == 2.0
    assert copied["state"][0]["step"].item() == 1.0


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))], ids=["copy", "pickle"]
)
def test_copies_step_by_themselves(again):
    p = leaf(1.0, 2.0)
    made = optim.Adam([p], lr=0.5)
    made.step()
    handle = made.register_step_post_hook(print)
    other = again(made)
    handle.remove()
    assert not other._optimizer_step_post_hooks
    (q,) = other.param_groups[0]["params"]
    assert q is not p
    q.grad = torch.ones(2)
    for held in (made, other):
        held.step()
    np.testing.assert_array_equal(q.detach().numpy(), p.detach().numpy())
    assert other.state[q]["step"].item() == 2.0
    assert repr(other) == repr(made)


def test_closure_runs_with_recording_on():
    p = leaf(3.0)
    made = optim.SGD([p], lr=0.25)

    def closure():
        made.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = made.step(closure)
    assert loss.item() == 9.0
    assert p.item() == 1.5
    assert made.step() is None


def test_zero_grad():
    p, q = leaf(1.0, 2.0), leaf(1.0)
    q.grad = None
    made = optim.SGD([p, q], lr=0.1)
    held = p.grad
    made.zero_grad(set_to_none=False)
    assert p.grad is held
    assert held.tolist() == [0.0, 0.0]
    assert q.grad is None
    made.zero_grad()
    assert p.grad is None
    made.step()
    assert p.tolist() == [1.0, 2.0]


def test_step_hooks_and_their_order():
    p, seen = leaf(1.0), []
    made = optim.SGD([p], lr=0.5)
    handles = [
        made.register_step_post_hook(lambda o, a, k: seen.append(("own after", p.item()))),
        register_optimizer_step_post_hook(lambda o, a, k: seen.append(("all after", p.item()))),
        made.register_step_pre_hook(lambda o, a, k: seen.append(("own before", p.item()))),
        register_optimizer_step_pre_hook(lambda o, a, k: seen.append(("all before", p.item()))),
    ]
    made.step()
    assert seen == [("all before", 1.0), ("own before", 1.0), ("own after", 0.5), ("all after", 0.5)]
    for handle in handles:
        handle.remove()
    made.step()
    assert len(seen) == 4


def test_a_step_hook_can_replace_the_arguments():
    p, calls = leaf(1.0), []
    made = optim.SGD([p], lr=0.5)
    handle = made.register_step_pre_hook(lambda o, args, kwargs: ((*args, lambda: calls.append(1) or 7), kwargs))
    assert made.step() == 7
    assert calls == [1]
    handle.remove()
    made.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"):
        made.step()


def test_state_dict_hooks():
    p, seen = leaf(1.0), []
    made = optim.SGD([p], lr=0.5)
    made.register_state_dict_pre_hook(lambda o: seen.append("second"))
    made.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    made.register_state_dict_post_hook(lambda o, state: {**state, "extra": 1})
    made.register_load_state_dict_pre_hook(lambda o, state: {k: v for k, v in state.items() if k != "extra"})
    made.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    state = made.state_dict()
    assert state["extra"] == 1
    made.load_state_dict(state)
    assert seen == ["first", "second", "loaded"]
    assert "extra" in state


def test_loading_takes_numpy_arrays_and_keeps_names():
    p = leaf(1.0, 2.0)
    made = optim.SGD([("weight", p)], lr=0.5, momentum=0.5)
    state = {"state": {0: {"momentum_buffer": np.array([4.0, 8.0])}}, "param_groups": [{"lr": 1.0, "params": [0]}]}
    made.load_state_dict(state)
    assert made.param_groups[0]["param_names"] == ["weight"]
    assert made.state[p]["momentum_buffer"].dtype is torch.float32
    made.param_groups[0].update(momentum=0.5, dampening=0, weight_decay=0)
    made.step()
    assert p.tolist() == [-2.0, -3.0]


def test_checkpoints_from_before_an_option_existed():
    p = leaf(1.0)
    made = optim.Adam([p], lr=0.5)
    made.step()
    state = copy.deepcopy(made.state_dict())
    for key in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay", "amsgrad"):
        del state["param_groups"][0][key]
    state["state"][0]["step"] = 1
    made.load_state_dict(state)
    made.step()
    assert made.state[p]["step"].item() == 2.0
    assert made.param_groups[0]["amsgrad"] is False


def test_an_empty_list_of_parameters_tells_the_likely_cause():
    with pytest.raises(ValueError, match="optimizer got an empty parameter list") as caught:
        optim.Adam(p for p in ())
    assert "plain Python list, put them in nn.ModuleList" in str(caught.value)


def test_own_optimizers():
    """A subclass with a step of its own works as with torch, hooks and required options included."""

    class Plain(Optimizer):
        def __init__(self, params, lr=required):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
                        p.sub_(p.grad, alpha=group["lr"])

    p, seen = leaf(1.0, 2.0), []
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
        Plain([p])
    made = Plain([{"params": [p], "lr": 0.5}])
    made.register_step_post_hook(lambda *_: seen.append(1))
    made.step()
    assert p.tolist() == [0.5, 1.5]
    assert seen == [1]
    assert made.state_dict()["state"] == {0: {"steps": 1}}
    assert "<required parameter>" in repr(required)


def test_parameters_that_are_views_are_written_through():
    base = torch.zeros(4)
    p = base[1:3].detach()
    p.requires_grad_()
    p.grad = torch.ones(2)
    optim.SGD([p], lr=0.5).step()
    assert base.tolist() == [0.0, -0.5, -0.5, 0.0]


def test_meta_parameters_stay_without_contents():
    p = torch.zeros(2, device="meta", requires_grad=True)
    p.grad = torch.zeros(2, device="meta")
    made = optim.Adam([p])
    made.step()
    assert made.state[p]["exp_avg"].is_meta
    assert p.is_meta


def test_a_step_can_be_traced():
    """Inside a JAX program the step reads and writes tracers, and makes no state out of them."""
    p = leaf(1.0, 2.0)
    made = optim.Adam([p], lr=0.5)
    start = p._array()

    def program(array, grad):
        p._write(array)
        p.grad._write(grad)
        made.step()
        return p._array(), made.state[p]["exp_avg"]._array()

    traced, average = jax.jit(program)(start, p.grad._array())
    reference = leaf(1.0, 2.0)
    optim.Adam([reference], lr=0.5).step()
    np.testing.assert_allclose(np.asarray(traced), reference.detach().numpy())
    np.testing.assert_allclose(np.asarray(average), [0.1, 0.1], 1e-6)
    (cell,) = (held for held in made._cells.values() if hasattr(held, "vector"))
    assert not isinstance(cell.vector._array(), jax.core.Tracer)


def test_tracing_the_first_step_with_dampening_takes_the_whole_gradient():
    p = leaf(1.0)
    made = optim.SGD([p], lr=0.5, momentum=0.9, dampening=0.5)

    def program(grad):
        p.grad._write(grad)
        made.step()
        return p._array(), made.state[p]["momentum_buffer"]._array()

    grad = np.asarray(p.grad._array())
    traced, buffer = jax.jit(program)(p.grad._array())
    np.testing.assert_allclose(np.asarray(buffer), grad)
    np.testing.assert_allclose(np.asarray(traced), 1.0 - 0.5 * grad)


def test_sparse_adam_names_the_alternative():
    with pytest.raises(NotImplementedError, match=r"Use torch\.optim\.Adam"):
        optim.SparseAdam([leaf(1.0)])


def test_lbfgs_takes_one_group_and_known_line_searches():
    with pytest.raises(ValueError, match="LBFGS doesn't support per-parameter options"):
        optim.LBFGS([{"params": [leaf(1.0)]}, {"params": [leaf(2.0)]}])
    p = leaf(1.0)
    made = optim.LBFGS([p], line_search_fn="golden")

    def closure():
        made.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        made.step(closure)


def test_programs_are_shared_between_optimizers():
    before = None
    for _ in range(2):
        made = optim.SGD([leaf(1.0)], lr=0.5, momentum=0.5)
        made.step()
        made.step()
        before = before or len(_fused._programs)
    assert len(_fused._programs) == before


def test_no_warning_in_a_usual_loop():
    p = leaf(1.0)
    made = optim.SGD([p], lr=0.5)
    schedule = optim.lr_scheduler.StepLR(made, 1, gamma=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            made.step()
            schedule.step()
    assert schedule.get_last_lr() == [0.0625]
    copied = copy.deepcopy(schedule)
    copied.step()
    assert schedule.get_last_lr() == [0.0625]
    assert copied.get_last_lr() == [0.03125]


def test_zeroed_gradients_lose_their_history():
    grown, given = (torch.ones(2, requires_grad=True) for _ in range(2))
    (grown**3).sum().backward(create_graph=True)
    given.grad = torch.ones(2, requires_grad=True)
    assert grown.grad.grad_fn is not None
    optim.SGD([grown, given]).zero_grad(set_to_none=False)
    for p in (grown, given):
        assert p.grad.tolist() == [0, 0] and p.grad.grad_fn is None and not p.grad.requires_grad


def test_states_of_nobody_are_loaded_too():
    """What stands under a key that is no parameter's number."""
    made = optim.SGD([torch.ones(2, requires_grad=True)], lr=0.5)
    made.load_state_dict({**made.state_dict(), "state": {"counts": {"seen": 3}}})
    assert made.state["counts"] == {"seen": 3}


def test_lbfgs_passes_over_pairs_without_curvature():
    held = lbfgs._History({}, 5)
    for change, kept in ((1.0, 1), (-1.0, 1), (0.0, 1), (2.0, 2)):
        held.add(jnp.array([change]), jnp.array([1.0]))
        assert len(held.dirs) == len(held.steps) == len(held.ro) == kept


def test_options_added_to_a_swapped_optimizer_go_with_it():
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    made = optim.SGD([a], lr=0.5, momentum=0.9)
    a.grad = torch.ones(1)
    made.step()
    with optim.swap_in_optimizer_params_and_state(made, {"b": b}, made.state_dict()):
        made.param_groups[0].update(lr=9.0, added=True)
    assert "added" not in made.param_groups[0] and made.param_groups[0]["lr"] == 0.5
