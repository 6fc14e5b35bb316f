"""``torch.backends.cuda``: kept as set; JAX's matmul precision decides. May import devices."""

from types import SimpleNamespace

from .. import _device as devices

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    fp32_precision="none",
)


def is_built() -> bool:
    """Whether JAX has a GPU backend here."""
    return bool(devices.present("cuda"))


def flash_sdp_enabled() -> bool:
    """False: attention goes through XLA."""
    return False


def mem_efficient_sdp_enabled() -> bool:
    """False: attention goes through XLA."""
    return False


def math_sdp_enabled() -> bool:
    """True: attention is written out and fused by XLA."""
    return True
