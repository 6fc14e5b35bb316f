"""Parity of what packages take from torch besides operators: row starts, segments, printed forms, devices' states."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

ROWS = {"plain": ([0, 0, 1, 3, 3, 3], 5), "empty": ([], 3), "last": ([2], 3), "none": ([], 0)}


def both(function, *args, **kwargs):
    """What torch and rushlight give, as arrays with their dtypes, for arguments that are lists or plain values."""
    found = []
    for library in (torch, rushlight):
        given = [library.tensor(a, dtype=library.int64) if isinstance(a, list) else a for a in args]
        out = getattr(library, function)(*given, **kwargs)
        found.append((out.numpy(), str(out.dtype), tuple(out.shape)))
    return found


@pytest.mark.parametrize("out_int32", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_row_starts(name, out_int32):
    theirs, ours = both("_convert_indices_from_coo_to_csr", *ROWS[name], out_int32=out_int32)
    assert theirs[1:] == ours[1:]
    np.testing.assert_array_equal(theirs[0], ours[0])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("out_int32", [False, True])
@pytest.mark.parametrize(("starts", "columns"), [([0, 2, 2, 3], [1, 2, 0]), ([0, 0, 0], []), ([0, 3], [2, 1, 0])])
def test_rows_and_columns(starts, columns, out_int32, transpose):
    options = {"out_int32": out_int32, "transpose": transpose}
    theirs, ours = both("_convert_indices_from_csr_to_coo", starts, columns, **options)
    assert theirs[1:] == ours[1:]
    np.testing.assert_array_equal(theirs[0], ours[0])


def test_rows_of_several_dimensions():
    for library in (torch, rushlight):
        with pytest.raises(RuntimeError, match="Input is supposed to be a vector"):
            library._convert_indices_from_coo_to_csr(library.zeros(2, 2, dtype=library.int64), 3)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_segments(reduce):
    values = np.random.RandomState(0).standard_normal((6, 3)).astype(np.float32)
    found = []
    for library in (torch, rushlight):
        x = library.tensor(values, requires_grad=True)
        out = library._segment_reduce(x, reduce, offsets=library.tensor([0, 2, 2, 6]), initial=0)
        out.square().sum().backward()
        found.append((out.detach().numpy(), x.grad.numpy()))
    for theirs, ours in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


PRINTED = {
    "floats": [1.0, 2.5, -3.25], "whole": [[1, 2], [3, 4]], "none": [], "scalar": 2.0, "truth": [True, False],
    "long": list(range(2000)), "wide": [[0.001 * i for i in range(30)]] * 2,
}  # fmt: skip


@pytest.mark.parametrize("indent", [0, 7])
@pytest.mark.parametrize("name", PRINTED)
def test_bracketed_numbers(name, indent):
    theirs = torch._tensor_str._tensor_str(torch.tensor(PRINTED[name]), indent)
    assert rushlight._tensor_str._tensor_str(rushlight.tensor(PRINTED[name]), indent) == theirs


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("notes", [[], ["is_sorted=True"], ["x" * 70, "y" * 30, "nnz=3"]])
def test_notes(notes, force):
    given = ("Index([0, 1]", notes, 6, force)
    assert rushlight._tensor_str._add_suffixes(*given) == torch._tensor_str._add_suffixes(*given)


def test_states_of_devices():
    from torch.utils.checkpoint import get_device_states, set_device_states

    from rushlight.utils import checkpoint

    assert checkpoint.get_device_states(rushlight.ones(2), 3) == get_device_states(torch.ones(2), 3) == ([], [])
    before = rushlight.get_rng_state()
    checkpoint.set_device_states([], [])
    checkpoint.set_device_states([0], [before], device_type="meta")
    set_device_states([0], [torch.get_rng_state()], device_type="meta")
    assert bool((rushlight.get_rng_state() == before).all())


def test_state_of_a_device_comes_back():
    from rushlight.utils._device_states import resolve
    from rushlight.utils.checkpoint import set_device_states

    if not rushlight.cuda.is_available():
        pytest.skip("there is no GPU")
    states = [rushlight.cuda.get_rng_state()]
    first = rushlight.rand(3, device=resolve("cuda"))
    set_device_states([0], states)
    assert bool((rushlight.rand(3, device="cuda") == first).all())


def test_normal_numbers_of_distributions():
    from torch.distributions.utils import _standard_normal

    from rushlight.distributions import utils

    torch.manual_seed(3)
    rushlight.manual_seed(3)
    theirs = _standard_normal((3, 2), torch.float64, "cpu")
    ours = utils._standard_normal((3, 2), rushlight.float64, "cpu")
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-14)


def test_a_traced_tensor_holds_no_values():
    from rushlight._subclasses.fake_tensor import FakeTensorMode, is_fake

    @rushlight.compile
    def look(x):
        return x + (1 if is_fake(x) else 2)

    x = rushlight.ones(2)
    assert look(x).tolist() == [2.0, 2.0] and not is_fake(x) and not is_fake(3)
    assert not is_fake(rushlight.ones(2, device="meta"))
    with pytest.raises(NotImplementedError, match="meta"):
        FakeTensorMode()


def test_no_tracer_of_operators():
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    assert rushlight.fx.experimental.__name__.endswith("fx.experimental")
    from rushlight.fx.experimental import proxy_tensor

    assert proxy_tensor.get_proxy_mode() is get_proxy_mode() is None
