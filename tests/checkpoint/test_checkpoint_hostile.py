"""Owns the proof that no file makes the reader run code, hang, or fail with anything but a clear error.

May import rushlight and numpy; the files are written here, byte by byte.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import time
import zipfile
import zlib

import jax.numpy as jnp
import numpy as np
import pytest

from rushlight._tensor.tensor import Tensor
from rushlight.checkpoint import Stub, load, safe_globals, save
from rushlight.checkpoint.archive_writer import ArchiveWriter

REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError)


def archive(body: bytes, storages: dict | None = None, **more: bytes) -> io.BytesIO:
    """An archive with this pickle in it."""
    file = io.BytesIO()
    writer = ArchiveWriter(file.write)
    writer.add("data.pkl", body)
    for name, data in more.items():
        writer.add(name, data)
    for key, data in (storages or {}).items():
        writer.add(f"data/{key}", data)
    writer.finish()
    file.seek(0)
    return file


def reference(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def tensor(
    kind="FloatStorage", key="0", count=b"K\x04", offset=b"K\x00", size=b"K\x04\x85", stride=b"K\x01\x85"
) -> bytes:
    """The pickle of one tensor, any part of which can be replaced."""
    pid = b"(" + text("storage") + reference("torch", kind) + text(key) + text("cpu") + count + b"tQ"
    hooks = reference("collections", "OrderedDict") + b")R"
    return (
        b"\x80\x02" + reference("torch._utils", "_rebuild_tensor_v2") + b"(" + pid + offset + size + stride + b"\x89"
        + hooks + b"tR."
    )  # fmt: skip


FOUR = {"0": np.arange(4, dtype=np.float32).tobytes()}


def test_the_helper_makes_valid_files():
    assert load(archive(tensor(), FOUR)).tolist() == [0, 1, 2, 3]


class Flag:
    """Says whether anything was run."""

    raised = False


def trip(*args, **kwargs):
    Flag.raised = True


class Trap:
    """Every way in which a pickle can make Python call something."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return {
            "reduce": (trip, ()),
            "system": (os.system, ("echo run > /dev/null",)),
            "eval": (eval, ("__import__('os')",)),
            "getattr": (getattr, (Flag, "raised")),
        }[self.how]


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("how", ["reduce", "system", "eval", "getattr"])
def test_nothing_is_called(how, protocol, weights_only):
    Flag.raised = False
    file = archive(pickle.dumps(Trap(how), protocol=protocol))
    if weights_only or how in ("system", "eval"):
        with pytest.raises(pickle.UnpicklingError, match=r"not an allowed global|is blocked"):
            load(file, weights_only=weights_only)
    else:
        found = load(file, weights_only=False)
        # A chain of getattr is only a longer name.
        assert isinstance(found, Stub) and found.is_reference is (how == "getattr")
    assert not Flag.raised


class New:
    def __new__(cls, *args):
        trip()

    __setstate__ = trip


@pytest.mark.parametrize("body", [
    reference(__name__, "New") + b")\x81}b.",
    reference(__name__, "New") + b")\x81.",
    reference(__name__, "New") + b")R.",
    reference(__name__, "New") + b")}\x92.",
    reference(__name__, "trip") + b")R.",
    b"(" + reference(__name__, "trip") + b"lK\x01a.",
], ids=range(6))  # fmt: skip
def test_classes_of_the_caller_stay_untouched(body):
    Flag.raised = False
    with pytest.raises(pickle.UnpicklingError):
        load(archive(b"\x80\x02" + body))
    load(archive(b"\x80\x02" + body), weights_only=False)
    assert not Flag.raised


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "bait_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    file = archive(b"\x80\x02" + reference("bait_module", "Thing") + b")\x81.")
    with pytest.raises(pickle.UnpicklingError, match=r"add_safe_globals\(\[bait_module.Thing\]\)"):
        load(file)
    file.seek(0)
    assert load(file, weights_only=False).class_name == "bait_module.Thing"
    for module in ("torch.nn.modules.bait", "torch.optim..os", "torch.nn", "torch.utils.data._utils.worker"):
        assert isinstance(load(archive(b"\x80\x02" + reference(module, "Thing") + b")\x81."), weights_only=False), Stub)


def test_a_dotted_name_reaches_nothing():
    for module, name in (("torch.nn", "modules.sys.exit"), ("torch.nn.functional", "__dict__"), ("torch", "sys")):
        found = load(archive(b"\x80\x02" + reference(module, name) + b"."), weights_only=False)
        assert isinstance(found, Stub) and found.is_reference


@pytest.mark.parametrize("body", [
    reference("os", "system") + text("x") + b"\x85R.",
    reference("posix", "system") + text("x") + b"\x85R.",
    reference("subprocess", "Popen") + text("x") + b"\x85R.",
    reference("__builtin__", "eval") + text("1") + b"\x85R.",
    reference("builtins", "exec") + text("1") + b"\x85R.",
    reference("importlib", "import_module") + text("x") + b"\x85R.",
], ids=range(6))  # fmt: skip
def test_blocked_modules_are_refused_in_every_mode(body):
    for weights_only in (True, False):
        with pytest.raises(pickle.UnpicklingError, match="is blocked"):
            load(archive(b"\x80\x02" + body), weights_only=weights_only)
    with safe_globals([(print, "os.system")]), pytest.raises(pickle.UnpicklingError, match="is blocked"):
        load(archive(b"\x80\x02" + reference("os", "system") + b")R."))


HUGE = b"\x8a\x08" + struct.pack("<q", 2**62)
NEGATIVE = b"J\xff\xff\xff\xff"
ORDERED = reference("collections", "OrderedDict")
NUMPY = reference("numpy.core.multiarray", "_reconstruct")
DTYPE = reference("numpy", "dtype")
SCALAR = reference("numpy.core.multiarray", "scalar")

BODIES = {
    "empty": b"",
    "no_stop": b"\x80\x02}",
    "stop_on_empty": b"\x80\x02.",
    "left_over": b"\x80\x02}}.",
    "open_mark": b"\x80\x02(}.",
    "unknown_opcode": b"\x80\x02\xff.",
    "python2_text_opcodes": b"\x80\x02I1\n.",
    "persid_text": b"\x80\x02Pname\n.",
    "instance_opcodes": b"\x80\x02(ios\nsystem\n.",
    "object_opcode": b"\x80\x02(" + reference("os", "system") + b"o.",
    "extension": b"\x80\x02\x82\x01.",
    "buffer": b"\x80\x05\x97.",
    "protocol_9": b"\x80\x09N.",
    "protocol_0": b"\x80\x00N.",
    "long_string": b"\x80\x02X\xff\xff\xff\xffabc.",
    "long_bytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fabc.",
    "long_integer": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "long_bytearray": b"\x80\x05\x96" + b"\xff" * 7 + b"\x0fabc.",
    "bad_utf8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "bad_global": b"\x80\x02cos.",
    "bad_memo": b"\x80\x02h\x07.",
    "list_append_to_tuple": b"\x80\x02)K\x01a.",
    "odd_items": b"\x80\x02}(K\x01u.",
    "set_item_on_number": b"\x80\x02K\x01K\x02K\x03s.",
    "unhashable_key": b"\x80\x02}]K\x01s.",
    "unhashable_member": b"\x80\x04\x8f(]\x90.",
    "reduce_number": b"\x80\x02K\x01)R.",
    "reduce_without_tuple": b"\x80\x02" + ORDERED + b"K\x01R.",
    "reduce_dict_class_trick": b"\x80\x02" + reference("torch", "Tensor") + b")R.",
    "build_number": b"\x80\x02K\x01}b.",
    "build_list": b"\x80\x02]}b.",
    "build_ordered_dict_method": b"\x80\x02" + ORDERED + b")R}" + text("items") + b"K\x01sb.",
    "build_ordered_dict_class": b"\x80\x02" + ORDERED + b")R}" + text("__class__") + b"K\x01sb.",
    "build_dtype": b"\x80\x02" + reference("torch", "float32") + b"}b.",
    "ordered_dict_from_text": b"\x80\x02" + ORDERED + text("ab") + b"\x85R.",
    "set_from_nested_lists": b"\x80\x02" + reference("builtins", "set") + b"]]a\x85R.",
    "bytearray_of_size": b"\x80\x02" + reference("builtins", "bytearray") + HUGE + b"\x85R.",
    "bytes_of_size": b"\x80\x02" + reference("builtins", "bytes") + HUGE + b"\x85R.",
    "codec": b"\x80\x02" + reference("_codecs", "encode") + text("x") + text("zlib_codec") + b"\x86R.",
    "size_of_text": b"\x80\x02" + reference("torch", "Size") + text("ab") + b"\x85\x85R.",
    "device_of_number": b"\x80\x02" + reference("torch", "device") + b"NNN\x87R.",
    "device_unknown": b"\x80\x02" + reference("torch", "device") + text("bogus") + b"\x85R.",
    "range_of_text": b"\x80\x02" + reference("builtins", "range") + text("a") + b"\x85R.",
    "slice_of_slices": b"\x80\x02" + reference("builtins", "slice") + b"]\x85R.",
    "numpy_object_dtype": b"\x80\x02" + DTYPE + text("O8") + b"\x89\x88\x87R.",
    "numpy_dtype_fields": b"\x80\x02" + DTYPE + text("f4,f4") + b"\x89\x88\x87R.",
    "numpy_dtype_state": b"\x80\x02" + DTYPE + text("f4") + b"\x89\x88\x87R(K\x03" + text("<") + b"NNN" + HUGE
    + NEGATIVE + b"K\x00tb.",
    "numpy_dtype_empty_state": b"\x80\x02" + DTYPE + text("f4") + b"\x89\x88\x87R)b.",
    "numpy_dtype_on_nothing": b"\x80\x02" + DTYPE + b")R.",
    "numpy_scalar_short": b"\x80\x02" + SCALAR + DTYPE + text("f8") + b"\x85RC\x01a\x86R.",
    "numpy_scalar_empty": b"\x80\x02" + SCALAR + DTYPE + text("U0") + b"\x85RC\x00\x86R.",
    "numpy_array_too_big": b"\x80\x02" + NUMPY + reference("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R(K\x01" + HUGE
    + b"\x85" + DTYPE + text("f8") + b"\x85R\x89C\x08abcdefght" + b"b.",
    "numpy_array_object_shape": b"\x80\x02" + NUMPY + reference("numpy", "ndarray") + b"(K\x05tC\x01b\x87R.",
    "numpy_array_of_another_class": b"\x80\x02" + NUMPY + reference("numpy", "dtype") + b"K\x00\x85C\x01b\x87R.",
    "persistent_number": b"\x80\x02K\x01Q.",
    "persistent_text": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "persistent_module": b"\x80\x02(" + text("module") + b"NNNNtQ.",
    "tensor_missing_storage": tensor(key="7"),
    "tensor_storage_path": tensor(key="../version"),
    "tensor_longer_storage": tensor(count=b"K\x05"),
    "tensor_shorter_storage": tensor(count=b"K\x03"),
    "tensor_huge_storage": tensor(count=HUGE),
    "tensor_negative_storage": tensor(count=NEGATIVE),
    "tensor_wrong_type": tensor(kind="DoubleStorage"),
    "tensor_out_of_bounds": tensor(size=b"K\x05\x85"),
    "tensor_offset": tensor(offset=b"K\x01"),
    "tensor_huge_offset": tensor(offset=HUGE),
    "tensor_negative_offset": tensor(offset=NEGATIVE),
    "tensor_negative_size": tensor(size=NEGATIVE + b"\x85"),
    "tensor_negative_stride": tensor(stride=NEGATIVE + b"\x85"),
    "tensor_huge_stride": tensor(stride=HUGE + b"\x85"),
    "tensor_overflowing_stride": tensor(size=HUGE + HUGE + b"\x86", stride=HUGE + HUGE + b"\x86"),
    "tensor_expanded_bomb": tensor(size=HUGE + b"\x85", stride=b"K\x00\x85"),
    "tensor_stride_count": tensor(stride=b")"),
    "tensor_size_of_text": tensor(size=text("a")),
    "tensor_size_of_none": tensor(size=b"N\x85"),
    "tensor_float_size": tensor(size=b"G\x40\x10\x00\x00\x00\x00\x00\x00\x85"),
    "tensor_bool_offset": tensor(offset=b"\x88"),
    "parameter_of_number": b"\x80\x02" + reference("torch._utils", "_rebuild_parameter") + b"K\x01\x88N\x87R.",
    "quantized": b"\x80\x02" + reference("torch._utils", "_rebuild_qtensor") + b")R.",
    "rebuild_with_nothing": b"\x80\x02" + reference("torch._utils", "_rebuild_tensor_v2") + b")R.",
    "rebuild_from_type": b"\x80\x02" + reference("torch._tensor", "_rebuild_from_type_v2") + b"(" + reference(
        "collections", "OrderedDict"
    ) + reference("torch", "Tensor") + b")}tR.",
    "layout": b"\x80\x02" + reference("torch.serialization", "_get_layout") + b"]\x85R.",
    "storage_as_function": b"\x80\x02" + reference("torch", "FloatStorage") + b")R.",
    "dtype_as_function": b"\x80\x02" + reference("torch", "float32") + b")R.",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_broken_pickles(name):
    begin = time.process_time()
    with pytest.raises(REFUSED) as info:
        load(archive(BODIES[name], FOUR))
    assert str(info.value)
    assert time.process_time() - begin < 2


def test_tuples_that_double_are_not_hashed():
    body = b"\x80\x02}" + b")" + b"2\x86" * 60 + b"K\x01s."
    with pytest.raises(pickle.UnpicklingError, match="nest of tuples"):
        load(archive(body))
    load(archive(b"\x80\x02)" + b"2\x86" * 60 + b"."))


def test_deep_nesting_ends():
    body = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."
    with pytest.raises(pickle.UnpicklingError, match="nest of tuples"):
        load(archive(body))
    deep = load(archive(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."))
    assert len(deep) == 1


def test_memory_is_not_taken_on_the_files_word(tmp_path):
    """Sizes that a file merely claims must not be allocated."""
    path = tmp_path / "claim.pt"
    head = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        head.write(pickle.dumps(part, protocol=2))
    pid = (
        b"("
        + text("storage")
        + reference("torch", "FloatStorage")
        + text("0")
        + text("cpu")
        + b"\x8a\x06"
        + b"\xff" * 5
        + b"\x7fNtQ"
    )
    path.write_bytes(
        head.getvalue() + b"\x80\x02" + pid + b"." + pickle.dumps(["0"], protocol=2) + struct.pack("<q", 2**50)
    )
    with pytest.raises(RuntimeError, match="cut short"):
        load(path)


def good(**more) -> bytes:
    file = io.BytesIO()
    save({"x": Tensor._of(jnp.arange(100.0)), "y": [1, "two", {"three": 3.0}], **more}, file)
    return file.getvalue()


def test_every_truncation_is_refused():
    data = good()
    for end in range(0, len(data) - 1, 7):
        with pytest.raises(REFUSED):
            load(io.BytesIO(data[:end]))


def legacy() -> bytes:
    file = io.BytesIO()
    save({"x": Tensor._of(jnp.arange(10.0)), "y": [1, "two"]}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_every_legacy_truncation_is_refused():
    data = legacy()
    for end in range(len(data)):
        with pytest.raises(REFUSED):
            load(io.BytesIO(data[:end]))


def test_flipped_bits_in_records_are_noticed():
    data = good()
    infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
    for info in infos:
        if info.filename.rsplit("/", 1)[-1] not in ("data.pkl", "0", "byteorder"):
            continue
        begin = info.header_offset + 30 + sum(struct.unpack("<HH", data[info.header_offset + 26 :][:4]))
        for at in {begin, begin + info.file_size // 2, begin + info.file_size - 1}:
            broken = bytearray(data)
            broken[at] ^= 4
            with pytest.raises(RuntimeError, match="does not match its checksum"):
                load(io.BytesIO(bytes(broken)))


@pytest.mark.parametrize("make", [good, legacy])
def test_random_damage_never_escapes(make):
    """Whatever the damage, the reader answers with a value or with one of its errors."""
    data, source = make(), random.Random(0)
    outcomes = set()
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 8))):
            broken[source.randrange(len(broken))] = source.randrange(256)
        for weights_only in (True, False):
            try:
                load(io.BytesIO(bytes(broken)), weights_only=weights_only)
                outcomes.add("read")
            except REFUSED as error:
                assert str(error)
                outcomes.add("refused")
    assert "refused" in outcomes


def test_random_pickles_never_escape():
    """The same without checksums in the way: the pickle itself is damaged."""
    source, body = random.Random(1), zipfile.ZipFile(io.BytesIO(good())).read("archive/data.pkl")
    values = np.arange(100, dtype=np.float32).tobytes()
    for _ in range(600):
        broken = bytearray(body)
        for _ in range(source.choice((1, 2, 4))):
            broken[source.randrange(len(broken))] = source.randrange(256)
        try:
            load(archive(bytes(broken), {"0": values}), weights_only=False)
        except REFUSED as error:
            assert str(error)


# -- archives that lie --------------------------------------------------------------------------------------------


def with_zipfile(compression=zipfile.ZIP_STORED, names=("archive/data.pkl",), data=b"\x80\x02N.") -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name in names:
            target.writestr(zipfile.ZipInfo(name), data, compression)
    file.seek(0)
    return file


def test_compressed_records_are_refused():
    bomb = with_zipfile(zipfile.ZIP_DEFLATED, data=b"\x80\x02" + b"}" * 10_000_000 + b".")
    with pytest.raises(RuntimeError, match=r"is compressed.*zip -0"):
        load(bomb)


@pytest.mark.parametrize("name", ["../data.pkl", "/data.pkl", "archive/../data.pkl", "archive//data.pkl", "data.pkl",
                                  "archive\\data.pkl", "./data.pkl", "archive/./data.pkl"])  # fmt: skip
def test_odd_names_are_refused(name):
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed"):
        load(with_zipfile(names=("archive/data.pkl", name)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_occur_twice_are_refused():
    with pytest.raises(RuntimeError, match="occurs twice"):
        load(with_zipfile(names=("archive/data.pkl", "archive/data.pkl")))


def test_an_archive_without_the_pickle():
    with pytest.raises(RuntimeError, match=r"PytorchStreamReader failed locating file data.pkl: file not found"):
        load(with_zipfile(names=("archive/other",)))


def test_a_kind_of_zip_that_is_no_checkpoint():
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed"):
        load(io.BytesIO(b"PK\x03\x04" + b"\0" * 100))
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    with pytest.raises(REFUSED):
        load(io.BytesIO(empty.getvalue()))


def patched(data: bytes, at: int, value: bytes) -> io.BytesIO:
    return io.BytesIO(data[:at] + value + data[at + len(value) :])


def central(data: bytes, name: str) -> int:
    """Where a record's entry in the directory begins."""
    return data.rindex(name.encode()) - 46


@pytest.mark.parametrize(("field", "form", "value"), [
    (42, "<I", 0), (42, "<I", 0xFFFFFFF0), (42, "<I", 1), (24, "<I", 0x7FFFFFFF), (20, "<I", 5), (8, "<H", 0x0809),
    (10, "<H", 8), (10, "<H", 99),
])  # fmt: skip
def test_directory_entries_that_lie(field, form, value):
    data = archive(tensor(), FOUR).getvalue()
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed"):
        load(patched(data, central(data, "archive/data/0") + field, struct.pack(form, value)))


def test_a_record_that_claims_its_neighbours_bytes():
    data = archive(tensor(count=b"M\x00\x01", size=b"M\x00\x01\x85"), FOUR).getvalue()
    at = central(data, "archive/data/0")
    data = patched(data, at + 20, struct.pack("<II", 1024, 1024)).getvalue()
    with pytest.raises(RuntimeError, match="overlaps what follows it"):
        load(io.BytesIO(data))


def test_a_header_with_another_name():
    data = archive(tensor(), FOUR).getvalue()
    with pytest.raises(RuntimeError, match="another name in its header"):
        load(patched(data, data.index(b"archive/data/0"), b"archive/data/1"))


def test_checksum_of_a_storage():
    data = archive(tensor(), FOUR).getvalue()
    at = central(data, "archive/data/0") + 16
    with pytest.raises(RuntimeError, match="does not match its checksum"):
        load(patched(data, at, struct.pack("<I", zlib.crc32(b"other"))))


def test_byte_order_must_be_known():
    with pytest.raises(ValueError, match="Unknown endianness type: middle"):
        load(archive(b"\x80\x02N.", byteorder=b"middle"))


def test_bytes_that_are_no_bools_become_true():
    body = tensor(kind="BoolStorage")
    found = load(archive(body, {"0": b"\x00\x01\x02\xff"}))
    assert np.asarray(found._array()).view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("data", [b"hello world, this is no checkpoint", b"\x80", b"\x80\x02N.", b"\x89PNG\r\n", b"PK"])
def test_files_of_another_kind(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(REFUSED) as info:
        load(tmp_path / "x")
    assert str(info.value)
    with pytest.raises(REFUSED):
        load(tmp_path / "x", mmap=True)


def test_folders_missing_files_and_empty_files(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for name, expected in (("none.pt", FileNotFoundError), (".", IsADirectoryError), ("empty", EOFError)):
        for mapped in (False, True):
            with pytest.raises(expected):
                load(tmp_path / name, mmap=mapped)
