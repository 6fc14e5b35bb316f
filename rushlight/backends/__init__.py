"""``torch.backends``: the switches programs set before they start; XLA chooses its kernels itself.

May import devices; each backend is a module of its own, as in torch.
"""

from . import cuda, cudnn, mha, mkldnn, mps, openmp, opt_einsum, quantized

__all__ = ["cuda", "cudnn", "mha", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]
