"""Calls to the one worker of a process: results, copies, errors, references, gradients, modules and optimizers."""

import warnings

import pytest
import rpc_programs

import rushlight

torch = pytest.importorskip("torch")
pytest.importorskip("torch.distributed.rpc")
pytest.importorskip("torch.distributed.optim")
pytest.importorskip("torch.distributed.nn")

# PyTorch's optimizers use TorchScript, in a thread of the worker.
pytestmark = pytest.mark.filterwarnings("ignore:`TorchScript` support:DeprecationWarning")


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    found = []
    for lib in (torch, rushlight):
        with warnings.catch_warnings():
            if lib is torch:
                warnings.simplefilter("ignore")
            found.append(rpc_programs.story(lib, tmp_path_factory.mktemp(lib.__name__)))
    return found


@pytest.mark.parametrize("part", ["before", "calls", "references", "gradients", "modules", "optimizers", "after"])
def test_one_worker(stories, part):
    theirs, ours = (story[part] for story in stories)
    assert ours == theirs
    assert len(ours) > 1
