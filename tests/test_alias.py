"""The torch alias: one module object under two names, what it answers to probes, and that it leaves no trace."""

import sys

import pytest
from processes import run_code, run_python

from rushlight._errors import missing_name


def test_modules_are_the_same_objects():
    run_code(
        """
        import sys
        import rushlight, rushlight.alias
        rushlight.alias.install()
        rushlight.alias.install()
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim.lr_scheduler
        from torch.utils.data import DataLoader
        from torch.nn.modules.conv import Conv2d
        import rushlight.nn.functional, rushlight.utils.data
        assert torch is rushlight and nn is rushlight.nn and F is rushlight.nn.functional
        assert DataLoader is rushlight.utils.data.DataLoader and Conv2d is nn.Conv2d
        for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
            assert sys.modules[name] is sys.modules["rushlight" + name.removeprefix("torch")], name
            assert sys.modules[name].__spec__.name.startswith("rushlight"), name
        """
    )


@pytest.mark.parametrize("name", ["torch.later", "rushlight.later"])
def test_modules_imported_later_are_shared_and_renamed(tmp_path, name):
    """A module first imported under either name is one object, and its classes print under torch's name."""
    (tmp_path / "later.py").write_text("class Outer:\n    class Inner:\n        pass\n")
    run_code(
        f"""
        import importlib, sys
        import rushlight
        from rushlight.alias import aliased
        rushlight.__path__.append({str(tmp_path)!r})
        with aliased():
            module = importlib.import_module({name!r})
            assert module is sys.modules["torch.later"] is sys.modules["rushlight.later"]
            assert repr(module.Outer) == "<class 'torch.later.Outer'>"
            assert repr(module.Outer.Inner) == "<class 'torch.later.Outer.Inner'>"
            assert module.__spec__.name == module.__name__ == "rushlight.later"
        assert "torch.later" not in sys.modules and sys.modules["rushlight.later"] is module
        assert module.Outer.__module__ == module.Outer.Inner.__module__ == "rushlight.later"
        """
    )


def test_types_print_as_torch_prints_them():
    out = run_code(
        """
        import rushlight.alias
        before = repr(rushlight.nn.Conv2d), repr(rushlight.Tensor)
        with rushlight.alias.aliased():
            import torch, pickle, inspect
            print(type(torch.nn.Conv2d(1, 2, 3)))
            print(torch.Tensor, torch.dtype, torch.device, torch.Size, torch.nn.Parameter, torch.optim.SGD)
            assert b"torch.nn.modules.linear" in pickle.dumps(torch.nn.Linear)
            assert pickle.loads(pickle.dumps(torch.nn.Linear)) is torch.nn.Linear
            assert "class Linear" in inspect.getsource(torch.nn.Linear)
        assert before == (repr(rushlight.nn.Conv2d), repr(rushlight.Tensor))
        assert b"rushlight.nn.modules.linear" in pickle.dumps(rushlight.nn.Linear)
        """
    )
    assert out.splitlines() == [
        "<class 'torch.nn.modules.conv.Conv2d'>",
        "<class 'torch.Tensor'> <class 'torch.dtype'> <class 'torch.device'> <class 'torch.Size'> "
        "<class 'torch.nn.parameter.Parameter'> <class 'torch.optim.sgd.SGD'>",
    ]


def test_version_metadata_and_probes():
    run_code(
        """
        import importlib.metadata, importlib.util
        from rushlight.alias import aliased
        try:
            real = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            real = None
        with aliased():
            import torch
            assert importlib.metadata.version("torch") == "2.13.0"
            assert importlib.metadata.metadata("torch")["Name"] == "torch"
            assert importlib.metadata.files("torch") is None
            assert "rushlight" in importlib.metadata.distribution("torch").locate_file("x").as_posix()
            assert "torch" in {d.name for d in importlib.metadata.distributions()}
            assert torch.__version__ == "2.13.0"
            assert importlib.util.find_spec("torch") is not None
            assert importlib.util.find_spec("torch.nn.functional") is not None
            assert importlib.util.find_spec("torch.no_such_module") is None
        try:
            assert importlib.metadata.version("torch") == real
        except importlib.metadata.PackageNotFoundError:
            assert real is None
        """
    )


def test_what_rushlight_lacks_says_so():
    out = run_code(
        """
        import rushlight.alias
        rushlight.alias.install()
        def attempt(statement):
            try:
                exec(statement, {})
            except (ImportError, AttributeError) as error:
                print(type(error).__name__, "|", error)
        attempt("import torch.no_such_module")
        attempt("import torch.nn.no_such_module.deeper")
        attempt("import torch.cli")
        attempt("import torch; torch.no_such_name")
        import torch
        assert not hasattr(torch, "no_such_name")
        """
    ).splitlines()
    assert out[0] == (
        "ModuleNotFoundError | No module named 'torch.no_such_module': rushlight, which stands in for torch here, has "
        "no module of that name. docs/conformance.md lists what rushlight offers."
    )
    assert out[1].startswith("ModuleNotFoundError | No module named 'torch.nn.no_such_module': rushlight")
    assert out[2].startswith("ModuleNotFoundError | No module named 'torch.cli': rushlight")
    assert out[3].startswith("AttributeError | module 'torch' has no attribute 'no_such_name'")
    assert "docs/conformance.md" in out[3]


def test_missing_name_keeps_pythons_form():
    error = missing_name("rushlight.nn", "Conv9d")
    assert isinstance(error, AttributeError) and error.name == "Conv9d"
    assert str(error).startswith("module 'torch.nn' has no attribute 'Conv9d'")


def test_uninstall_leaves_no_trace():
    run_code(
        """
        import sys, importlib.util
        import multiprocessing.spawn as spawn
        import rushlight.alias as alias
        def state():
            return list(sys.meta_path), spawn.get_preparation_data
        before, found = state(), importlib.util.find_spec("torch")
        alias.uninstall()
        alias.install()
        import torch.nn.functional
        assert alias.installed() and state() != before
        with alias.aliased():
            pass
        assert alias.installed(), "a nested block must not take away an alias that was there before"
        alias.uninstall()
        assert not alias.installed() and state() == before
        assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "torchvision")]
        again = importlib.util.find_spec("torch")
        assert (again is None) == (found is None) and (again is None or again.origin == found.origin)
        """
    )


def test_another_torch_that_is_imported_first_is_refused():
    out = run_code(
        """
        import sys, types
        import rushlight.alias as alias
        sys.modules["torch"] = types.ModuleType("torch")
        before = list(sys.meta_path)
        try:
            alias.install()
        except RuntimeError as error:
            print(error)
        assert not alias.installed() and sys.meta_path == before
        """
    )
    assert "already imported" in out and "rushlight run" in out


def test_real_torch_comes_back(tmp_path):
    """A package called torch that stands on the path is shadowed by the alias and found again after it."""
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("real = True\n")
    run_code(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from rushlight.alias import aliased
        with aliased():
            import torch
            import rushlight
            assert torch is rushlight
        import torch
        assert torch is not rushlight and torch.real
        """
    )


def test_torchvision_stand_in():
    out = run_code(
        """
        import importlib.metadata, importlib.util
        import rushlight.alias
        try:
            importlib.metadata.version("torchvision")
            real = True
        except importlib.metadata.PackageNotFoundError:
            real = False
        if not real:
            rushlight.alias.install()
            import torchvision, rushlight
            from torchvision.models import resnet18
            from torchvision.models.resnet import ResNet
            import rushlight.models.resnet
            assert torchvision.models is rushlight.models and ResNet is rushlight.models.resnet.ResNet
            assert str(ResNet) == "<class 'torchvision.models.resnet.ResNet'>"
            assert importlib.util.find_spec("torchvision.transforms") is None
            for statement in ("import torchvision.transforms", "torchvision.transforms", "import torch.models"):
                try:
                    exec(statement)
                except (ImportError, AttributeError) as error:
                    print(type(error).__name__, "|", error)
            try:
                importlib.metadata.version("torchvision")
                raise SystemExit("torchvision must not claim to be installed")
            except importlib.metadata.PackageNotFoundError:
                pass
            rushlight.alias.uninstall()
            assert importlib.util.find_spec("torchvision") is None
            assert str(ResNet) == "<class 'rushlight.models.resnet.ResNet'>"
        print("real" if real else "ours")
        """
    ).splitlines()
    if out[-1] == "real":
        pytest.skip("torchvision is installed: the alias leaves it alone")
    assert out[0].startswith("ModuleNotFoundError | No module named 'torchvision.transforms': torchvision is not")
    assert out[1].startswith("AttributeError | module 'torchvision' has no attribute 'transforms'")
    assert "offers only torchvision.models" in out[1]
    assert out[2].startswith("ModuleNotFoundError | No module named 'torch.models'")


def test_an_installed_torchvision_is_left_alone(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("real = True\n")
    run_code(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import rushlight.alias
        rushlight.alias.install()
        import torchvision
        assert torchvision.real
        rushlight.alias.uninstall()
        assert sys.modules["torchvision"] is torchvision
        """
    )


SPAWNING = """
import multiprocessing

import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)


def work(queue, net):
    import rushlight.alias
    queue.put((rushlight.alias.installed(), net.__name__, str(type(net().layer))))


if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    queue = context.Queue()
    child = context.Process(target=work, args=(queue, Net))
    child.start()
    print(queue.get(timeout=60))
    child.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has only spawn, and no forkserver")
def test_children_of_multiprocessing_see_the_alias(tmp_path, method):
    script = tmp_path / "program.py"
    script.write_text(SPAWNING.format(method=method))
    done = run_python("-m", "rushlight", "run", str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(True, 'Net', \"<class 'torch.nn.modules.linear.Linear'>\")"


def test_other_processes_do_not_see_the_alias():
    out = run_code(
        """
        import subprocess, sys
        import rushlight.alias
        rushlight.alias.install()
        code = "import rushlight.alias, sys; print(rushlight.alias.installed(), 'torch' in sys.modules)"
        print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        """
    )
    assert out.strip() == "False False"
