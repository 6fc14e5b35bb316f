"""Owns the generative and medical models on the list of public programs: diffusion, autoencoders, volumes.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import ids, noise, program

BLOCKS: dict[str, Any] = {
    "sample_size": 16,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
}


@program("diffusers", "UNet2DModel", "vision, diffusion", slow=True)
def _() -> tuple:
    from diffusers.models import UNet2DModel

    kinds: dict[str, Any] = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    model = UNet2DModel(in_channels=3, out_channels=3, attention_head_dim=4, **BLOCKS, **kinds)
    return model, (noise(2, 3, 16, 16), ids(2, high=9))


@program("diffusers", "UNet2DConditionModel", "vision and language, diffusion", slow=True, optimizer="AdamW")
def _() -> tuple:
    from diffusers.models import UNet2DConditionModel

    kinds: dict[str, Any] = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    model = UNet2DConditionModel(
        in_channels=4, out_channels=4, cross_attention_dim=8, attention_head_dim=2, **BLOCKS, **kinds
    )
    return model, (noise(2, 4, 16, 16), ids(2, high=9), noise(2, 5, 8, seed=1))


@program("diffusers", "AutoencoderKL", "vision, autoencoder")
def _() -> tuple:
    from diffusers.models import AutoencoderKL

    kinds: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    return AutoencoderKL(latent_channels=4, **BLOCKS, **kinds), noise(2, 3, 16, 16)


@program("diffusers", "DiTTransformer2DModel", "vision, diffusion, attention")
def _() -> tuple:
    from diffusers.models import DiTTransformer2DModel

    model = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8, norm_num_groups=4
    )
    return model, {"hidden_states": noise(2, 4, 8, 8), "timestep": ids(2, high=9), "class_labels": ids(2, high=9)}


@program("denoising-diffusion-pytorch", "GaussianDiffusion", "vision, diffusion", slow=True, loss=lambda loss: loss)
def _() -> tuple:
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    unet = Unet(dim=8, dim_mults=(1, 2), flash_attn=False, attn_heads=2, attn_dim_head=8)
    return GaussianDiffusion(unet, image_size=16, timesteps=20), noise(2, 3, 16, 16).sigmoid()


@program("monai", "UNet", "medical, segmentation, volumes")
def _() -> tuple:
    from monai.networks.nets import UNet

    model = UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)
    return model, noise(2, 1, 16, 16, 16)


@program("monai", "AttentionUnet", "medical, segmentation")
def _() -> tuple:
    from monai.networks.nets import AttentionUnet

    model = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2))
    return model, noise(2, 1, 32, 32)


@program("monai", "UNETR", "medical, segmentation, attention")
def _() -> tuple:
    from monai.networks.nets import UNETR

    model = UNETR(1, 2, (16, 16, 16), feature_size=4, hidden_size=24, mlp_dim=32, num_heads=4)
    return model, noise(1, 1, 16, 16, 16)


@program("perceiver-pytorch", "Perceiver", "any input, attention")
def _() -> tuple:
    from perceiver_pytorch import Perceiver

    options = {"num_latents": 6, "latent_dim": 16, "cross_dim_head": 8, "latent_dim_head": 8, "latent_heads": 2}
    model = Perceiver(num_freq_bands=3, depth=2, max_freq=6.0, input_channels=3, num_classes=5, **options)
    return model, noise(2, 8, 8, 3)


@program("conformer", "Conformer", "audio, convolutional, attention")
def _() -> tuple:
    from conformer import Conformer

    model = Conformer(16, depth=2, dim_head=8, heads=2, ff_mult=2, conv_kernel_size=7, conv_dropout=0.1)
    return model, noise(2, 12, 16)
