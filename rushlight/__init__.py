"""PyTorch's module system and training loop, without PyTorch, on XLA: ``import rushlight as torch``."""

from . import config as _config

_config.apply()
