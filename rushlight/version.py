"""``torch.version``: which torch interface this is, and what it was built for. Imports only ``_version``."""

from ._version import TORCH_VERSION as __version__

cuda = None
hip = None
xpu = None
debug = False
git_version = "unknown"

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "xpu"]
