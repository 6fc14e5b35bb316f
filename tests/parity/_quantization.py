"""What the comparisons of quantization-aware training share: inputs, pairs of modules, and states that must be equal."""

import numpy as np
import torch

import rushlight

BOTH = (torch, rushlight)


def draw(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def both(make):
    """``make(module)`` of PyTorch and of rushlight, from the same seed."""
    made = []
    for lib in BOTH:
        lib.manual_seed(0)
        made.append(make(lib))
    return made


def given(lib, options):
    """Options in which names of torch's objects stand for the objects."""
    return {k: getattr(lib, v) if isinstance(v, str) else v for k, v in options.items()}


def array(tensor):
    """A copy: PyTorch resizes no tensor that shares its memory with numpy."""
    return tensor.detach().clone().numpy()


def same_state(one, other, **tolerance):
    theirs, ours = one.state_dict(), other.state_dict()
    assert list(theirs) == list(ours)
    for key, value in theirs.items():
        assert tuple(value.shape) == tuple(ours[key].shape), key
        assert str(value.dtype) == str(ours[key].dtype), key
        np.testing.assert_allclose(array(ours[key]), array(value), err_msg=key, **tolerance)
