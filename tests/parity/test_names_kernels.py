"""Names of kernels, of choices and loops, of sizes, and of older switches, held to torch."""

import numpy as np
import pytest
from parity._table import check, f

import rushlight

torch = pytest.importorskip("torch")

IMAGE, WEIGHT, UP = f(2, 4, 6, 7), f(6, 2, 3, 2), f(2, 6, 5, 3)
_OPTIONS = {"stride": (2, 3), "padding": (2, 1), "groups": 2}
ROWS = [
    ("conv2d input gradient", lambda t, w, g: t.nn.grad.conv2d_input((2, 4, 6, 7), w, g[:, :, :4], **_OPTIONS), [WEIGHT, UP]),
    ("conv2d weight gradient", lambda t, x, g: t.nn.grad.conv2d_weight(x, (6, 2, 3, 2), g[:, :, :4], **_OPTIONS), [IMAGE, UP]),
    ("conv1d gradients", lambda t, x, w, g: (t.nn.functional.grad.conv1d_input(x.shape, w, g), t.nn.grad.conv1d_weight(x, w.shape, g)),
     [f(2, 3, 5), f(4, 3, 2), f(2, 4, 4)]),
    ("conv3d gradients", lambda t, x, w, g: (t.nn.grad.conv3d_input(x.shape, w, g), t.nn.grad.conv3d_weight(x, w.shape, g)),
     [f(1, 2, 3, 4, 3), f(3, 2, 2, 2, 2), f(1, 3, 2, 3, 2)]),
    ("convolution", lambda t, x, w: t.convolution(x, w, None, (2, 1), (1, 0), (1, 2), False, (0, 0), 2), [IMAGE, WEIGHT]),
    ("transposed convolution", lambda t, x, w: t.convolution(x, w, None, (2, 2), (1, 0), (1, 1), True, (1, 0), 1), [IMAGE, f(4, 2, 3, 2)]),
    ("update of statistics", lambda t, x: t.batch_norm_update_stats(x.detach(), t.zeros(4, dtype=x.dtype), t.ones(4, dtype=x.dtype), 0.1), [IMAGE]),
    ("cond", lambda t, x: t.cond(x.sum() > 0, lambda a: (a * 2, a.sum()), lambda a: (a - 1, a.mean()), (x,)), [f(3, 2)]),
    ("sizes", lambda t: (t.sym_max(1, 2.0), t.sym_min(3, 2), t.sym_not(True), t.sym_ite(False, 1, 2), t.sym_int(-2.5), t.sym_float(3), t.sym_sqrt(4), t.sym_sum([1, 2, 3])), []),
    ("questions", lambda t: (t.has_lapack, t.has_spectral, t.is_vulkan_available(), t.compiled_with_cxx11_abi(), t.init_num_threads()), []),
]  # fmt: skip


@pytest.mark.parametrize("name, fn, specs", ROWS, ids=[row[0] for row in ROWS])
def test_row(name, fn, specs):
    check(name, fn, specs, ["float64"])


def test_dropout_with_its_mask():
    x = np.arange(12.0).reshape(3, 4)
    ends = []
    for lib in (torch, rushlight):
        lib.manual_seed(3)
        ends.append([t.numpy() for t in lib.native_dropout(lib.tensor(x), 0.25, True)])
        ends[-1] += [t.numpy() for t in lib.native_dropout(lib.tensor(x), 0.25, False)]
    for a, b in zip(*ends):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b)


def test_the_largest_eigenvalues():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 9, 9))
    a, b = a + a.T, b @ b.T + np.eye(9)
    for options in ({}, {"largest": False}, {"B": b}):
        ends = []
        for lib in (torch, rushlight):
            given = {k: lib.tensor(v) if k == "B" else v for k, v in options.items()}
            torch.manual_seed(0)
            ends.append(
                lib.lobpcg(lib.tensor(a), 2, niter=500, tol=1e-9, **given)
                if lib is torch
                else lib.lobpcg(lib.tensor(a), 2, **given)
            )
        (values, vectors), (our_values, our_vectors) = ends
        np.testing.assert_allclose(our_values.numpy(), values.numpy(), 1e-6)
        across = vectors.numpy().T @ (b if "B" in options else np.eye(9)) @ our_vectors.numpy()
        np.testing.assert_allclose(np.abs(across), np.eye(2), atol=1e-5)
    for lib in (torch, rushlight):
        with pytest.raises(ValueError, match="is smaller than 3 x the number of requested eigenpairs"):
            lib.lobpcg(lib.tensor(a), 4)
    with pytest.raises(NotImplementedError, match="tracker"):
        rushlight.lobpcg(rushlight.tensor(a), 1, tracker=print)


@pytest.mark.parametrize("compiled", [False, True])
def test_choices_and_loops(compiled):
    def choose(x):
        return rushlight.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,))

    def double(x):
        return rushlight.while_loop(lambda a, n: a.sum() < 100, lambda a, n: (a * 2, n + 1), (x, rushlight.tensor(0)))

    wrap = (lambda g: rushlight.compile(g, fullgraph=True)) if compiled else (lambda g: g)
    assert wrap(choose)(rushlight.ones(2)).tolist() == [2, 2]
    assert wrap(choose)(-rushlight.ones(2)).tolist() == [-2, -2]
    x, n = wrap(double)(rushlight.ones(3))
    assert (x.tolist(), int(n)) == ([64, 64, 64], 6)
    if compiled:
        with pytest.raises(RuntimeError, match="different structure, shapes or dtypes"):
            wrap(lambda x: rushlight.cond(x.sum() > 0, lambda a: a, lambda a: a[0], (x,)))(rushlight.ones(2))
        with pytest.raises(NotImplementedError, match="for loop of a fixed length"):
            wrap(double)(rushlight.ones(3, requires_grad=True))


def test_numbers_from_a_file(tmp_path):
    path = str(tmp_path / "numbers")
    np.arange(5, dtype=np.float32).tofile(path)
    for lib in (torch, rushlight):
        assert lib.from_file(path, size=4).tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="holds 5 numbers, expected 7"):
        rushlight.from_file(path, size=7)
    with pytest.raises(NotImplementedError, match=r"from_file\(shared=True\)"):
        rushlight.from_file(path, shared=True, size=2)


@pytest.mark.filterwarnings("ignore")
def test_older_switches_of_autocast():
    for lib in (torch, rushlight):
        assert not lib.is_autocast_cpu_enabled()
        lib.set_autocast_cpu_enabled(True)
        assert lib.is_autocast_cpu_enabled()
        lib.set_autocast_cpu_enabled(False)
        assert lib.get_autocast_cpu_dtype() is lib.bfloat16
        assert lib.get_autocast_gpu_dtype() is lib.float16
        lib.set_autocast_cpu_dtype(lib.float16)
        assert lib.get_autocast_dtype("cpu") is lib.float16
        lib.set_autocast_cpu_dtype(lib.bfloat16)


def test_modules_of_devices():
    assert rushlight.get_device_module("cuda:0") is rushlight.cuda
    assert rushlight.get_device_module(rushlight.device("cpu")) is rushlight.cpu
    with pytest.raises(RuntimeError, match="Invalid value of device module"):
        rushlight.get_device_module("meta")
    assert issubclass(rushlight.OutOfMemoryError, RuntimeError)


def test_an_optimizer_on_other_parameters():
    ends = []
    for lib in (torch, rushlight):
        w, other = (lib.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0]))
        w.grad, other.grad = lib.ones(2), lib.ones(2) * 2
        made = lib.optim.Adam([w], lr=0.1)
        with (
            pytest.raises(RuntimeError, match="swap_in_optimizer_params_and_state requires"),
            lib.optim.swap_in_optimizer_params_and_state(made, {"w": w}, made.state_dict()),
        ):
            pass
        made.step()
        state = made.state_dict()
        state["param_groups"][0]["lr"] = 0.5
        with lib.optim.swap_in_optimizer_params_and_state(made, {"w": other}, state):
            made.step()
        assert made.param_groups[0]["lr"] == 0.1
        made.step()
        ends.append([w.tolist(), other.tolist()])
        for wrong in (
            {"state": {}},
            {"state": {5: {}}, "param_groups": state["param_groups"]},
            {"state": {}, "param_groups": []},
        ):
            with pytest.raises(RuntimeError), lib.optim.swap_in_optimizer_params_and_state(made, {"w": other}, wrong):
                pass
    np.testing.assert_allclose(ends[1], ends[0], 1e-6)


def test_positive_numbers_are_drawn_inside_programs():
    """Every distribution has a stream inside a program; their means are those of the formulas."""

    def draw(x):
        return (
            x.clone().exponential_(2.0), x.clone().log_normal_(0.0, 0.5), x.clone().geometric_(0.25), rushlight.poisson(x * 3),
            rushlight.binomial(x * 10, x * 0.3), rushlight.normal(x, x), rushlight.multinomial(x[:4], 20000, True).float(),
        )  # fmt: skip

    rushlight.manual_seed(0)
    drawn = rushlight.compile(draw, fullgraph=True)(rushlight.ones(20000))
    for values, mean in zip(drawn, (0.5, np.exp(0.125), 4.0, 3.0, 3.0, 1.0, 1.5)):
        assert abs(float(values.mean()) - mean) < 0.1
    with pytest.raises(RuntimeError, match="lambda"):
        rushlight.compile(lambda x: x.exponential_(-1.0), fullgraph=True)(rushlight.ones(3))
