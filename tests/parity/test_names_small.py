"""Names that programs use here and there: the package itself, element types of ONNX, nests of arguments, versions."""

import collections
import importlib.metadata

import pytest

import rushlight

torch = pytest.importorskip("torch")
Pair = collections.namedtuple("Pair", "a b")


def test_the_package_under_its_own_name():
    for lib in (torch, rushlight):
        assert lib.torch is lib
        assert lib.torch.Tensor is lib.Tensor


def test_element_types_of_onnx():
    ours, theirs = rushlight.onnx.TensorProtoDataType, torch.onnx.TensorProtoDataType
    assert {n: int(v) for n, v in ours.__members__.items()} == {n: int(v) for n, v in theirs.__members__.items()}
    assert repr(ours.FLOAT) == repr(theirs.FLOAT)
    assert str(ours.FLOAT) == str(theirs.FLOAT)


def test_shapes_as_tensors():
    import torch.onnx.operators as theirs

    for lib, module in ((torch, theirs), (rushlight, rushlight.onnx.operators)):
        shape = module.shape_as_tensor(lib.ones(2, 3))
        assert (shape.tolist(), shape.dtype, str(shape.device)) == ([2, 3], lib.int64, "cpu")
        assert module.reshape_from_tensor_shape(lib.ones(6), shape).shape == (2, 3)


def test_nests_of_arguments():
    nest = [1, {"a": (2, Pair(3, [4]))}, slice(5, 6, 7)]
    for lib in (torch, rushlight):
        from importlib import import_module

        node = import_module(f"{lib.__name__}.fx.node")
        assert node.map_aggregate(nest, lambda x: x * 2) == [2, {"a": (4, Pair(6, [8]))}, slice(10, 12, 14)]
        assert node.map_arg(nest, lambda x: None) == nest
        assert type(node.map_arg(Pair(1, 2), lambda x: None)) is Pair
        with pytest.raises(AssertionError, match="fn must be a callable"):
            node.map_arg(nest, 3)


def test_the_accelerator():
    kind = rushlight.accelerator.current_accelerator()
    assert rushlight._C._get_accelerator() == (kind or rushlight.device("cpu"))
    if torch.accelerator.current_accelerator() is None and kind is None:
        assert str(rushlight._C._get_accelerator()) == str(torch._C._get_accelerator()) == "cpu"


def test_parts_of_a_profile():
    for lib in (torch, rushlight):
        part = lib.ops.profiler._record_function_enter_new("mine", None)
        end = lib.ops.profiler._record_function_exit
        (end._RecordFunction if lib is torch else end)(part)
    part = rushlight.ops.profiler._record_function_enter("outer")
    inner = rushlight.ops.profiler._record_function_enter.default("inner", "beside")
    rushlight.ops.profiler._record_function_exit(inner)
    rushlight.ops.profiler._record_function_exit(part)
    assert (part._open, inner.args) == ([], "beside")


def test_the_version_of_nccl(monkeypatch):
    from rushlight.cuda import nccl

    def version(name):
        if name != "nvidia-nccl-cu12":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.27.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert nccl.version() == rushlight.cuda.nccl.version() == (2, 27, 3)
    monkeypatch.setattr(nccl, "_PACKAGES", ())
    with pytest.raises(RuntimeError, match="expected an installed NCCL"):
        nccl.version()
    assert nccl.is_available([]) is False


def test_the_old_name_of_a_download():
    assert rushlight.hub._download_url_to_file is rushlight.hub.download_url_to_file


def test_sparse_tensors_are_refused_with_another_way():
    indices, values = [[0, 1, 1], [2, 0, 0]], [3.0, 4.0, 5.0]
    with pytest.raises(NotImplementedError, match=r"torch\.zeros\(size\)\.index_put"):
        rushlight.sparse_coo_tensor(indices, values, (2, 3))
    places, numbers = rushlight.tensor(indices), rushlight.tensor(values)
    dense = rushlight.zeros(2, 3).index_put(tuple(places), numbers, accumulate=True)
    assert dense.tolist() == torch.sparse_coo_tensor(indices, values, (2, 3), check_invariants=True).to_dense().tolist()
