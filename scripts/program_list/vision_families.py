"""Owns the families of vision models of timm and segmentation_models_pytorch that came to the list later.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import noise, program

CONVOLUTIONAL, ATTENTION, BOTH = "convolutional", "attention", "convolutional, attention"
STAGES = (1, 1, 1, 1)
DIMS = (8, 16, 24, 32)
# name of a model or a class: (family, size of the image, options)
FAMILIES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ConvMixer": (CONVOLUTIONAL, 56, {"dim": 16, "depth": 2, "kernel_size": 3}),
    "convit_tiny": (ATTENTION, 32, {"img_size": 32, "patch_size": 8, "depth": 2, "local_up_to_layer": 1}),
    "crossvit_tiny_240": (
        ATTENTION, 48,
        {"img_size": 48, "img_scale": (1.0, 2 / 3), "patch_size": (12, 16), "embed_dim": (16, 24),
         "depth": ((1, 1, 0), (1, 1, 0)), "num_heads": (2, 2)},
    ),
    "davit_tiny": (ATTENTION, 64, {"depths": STAGES, "embed_dims": DIMS, "num_heads": (1, 2, 3, 4), "window_size": 4}),
    "dla34": (CONVOLUTIONAL, 64, {"levels": (1, 1, 1, 1, 1, 1), "channels": (8, 8, 16, 16, 24, 32)}),
    "efficientformerv2_s0": (
        BOTH, 64, {"img_size": 64, "depths": STAGES, "embed_dims": DIMS, "mlp_ratios": 2, "num_vit": 1},
    ),
    "efficientvit_b0": (BOTH, 64, {"widths": (8, 8, 16, 16, 32), "depths": (1, 1, 1, 1, 1), "head_widths": (32, 16)}),
    "fasternet_t0": (CONVOLUTIONAL, 64, {"embed_dim": 8, "depths": STAGES, "feature_dim": 32}),
    "FocalNet": (CONVOLUTIONAL, 64, {"embed_dim": 8, "depths": STAGES}),
    "GlobalContextVit": (ATTENTION, 64, {"img_size": 64, "embed_dim": 8, "depths": STAGES, "num_heads": (1, 2, 2, 2)}),
    "hiera_tiny_224": (ATTENTION, 64, {"img_size": (64, 64), "embed_dim": 8, "stages": STAGES}),
    "inception_next_atto": (CONVOLUTIONAL, 64, {"depths": STAGES, "dims": (40, 40, 80, 80)}),
    "mambaout_femto": (CONVOLUTIONAL, 64, {"depths": STAGES, "dims": DIMS}),
    "Nest": (
        ATTENTION, 32, {"img_size": 32, "embed_dims": (8, 16, 32), "num_heads": (1, 2, 4), "depths": (1, 1, 1)},
    ),
    "pit_ti_224": (
        ATTENTION, 48, {"img_size": 48, "base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (1, 2, 4)},
    ),
    "res2net50_26w_4s": (CONVOLUTIONAL, 64, {"layers": STAGES, "base_width": 8}),
    "resnest14d": (CONVOLUTIONAL, 64, {"base_width": 16, "stem_width": 8}),
    "resnetv2_50": (CONVOLUTIONAL, 64, {"layers": STAGES, "channels": (32, 64, 64, 96), "stem_chs": 16}),
    "rexnet_100": (CONVOLUTIONAL, 64, {"width_mult": 0.5, "depth_mult": 0.5}),
    "legacy_seresnet18": (CONVOLUTIONAL, 64, {"layers": STAGES}),
    "sequencer2d_s": (
        "recurrent", 56, {"img_size": 56, "layers": STAGES, "embed_dims": DIMS, "hidden_sizes": (4, 8, 8, 8)},
    ),
    "shvit_s1": (BOTH, 64, {"embed_dim": (16, 24, 32), "partial_dim": (8, 8, 8), "depth": (1, 1, 1)}),
    "skresnet18": (CONVOLUTIONAL, 64, {"layers": STAGES, "channels": (16, 16, 32, 32)}),
    "starnet_s050": (CONVOLUTIONAL, 64, {"base_dim": 8, "depths": STAGES}),
    "swinv2_tiny_window8_256": (
        ATTENTION, 64, {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (2, 1), "num_heads": (2, 4)},
    ),
    "tiny_vit_5m_224": (
        BOTH, 64, {"embed_dims": DIMS, "depths": STAGES, "num_heads": (1, 2, 3, 4), "window_sizes": (4, 4, 4, 4)},
    ),
    "tnt_s_patch16_224": (
        ATTENTION, 32, {"img_size": 32, "embed_dim": 32, "inner_dim": 8, "depth": 2, "num_heads_outer": 2},
    ),
    "twins_pcpvt_small": (
        ATTENTION, 64, {"img_size": 64, "embed_dims": DIMS, "num_heads": (1, 2, 3, 4), "depths": STAGES},
    ),
    "visformer_tiny": (
        BOTH, 64, {"img_size": 64, "init_channels": 8, "embed_dim": 32, "depth": (1, 1, 1), "num_heads": 2},
    ),
    "VOLO": (
        ATTENTION, 64,
        {"img_size": 64, "layers": STAGES, "embed_dims": (16, 24, 24, 24), "num_heads": (2, 2, 2, 2),
         "stem_hidden_dim": 8},
    ),
}  # fmt: skip


def _timm(name: str, family: str, size: int, options: dict[str, Any]) -> None:
    def build() -> tuple:
        import timm

        given = {"num_classes": 10, **options}
        if not name.islower():  # the functions that name the sizes of some do not let them be smaller
            return getattr(timm.models, name)(**given), noise(2, 3, size, size)
        return timm.create_model(name, **given), noise(2, 3, size, size)

    # Most normalise over few values in their last stages: see docs/programs.md on float64.
    program("timm", name, "vision, " + family, rate=1e-3, slow=True, double=True)(build)


for _name, _row in FAMILIES.items():
    _timm(_name, *_row)


def _segmentation(name: str, encoder: str, size: int) -> None:
    def build() -> tuple:
        import segmentation_models_pytorch

        model = getattr(segmentation_models_pytorch, name)(encoder_weights=None, classes=2, encoder_name=encoder)
        return model, noise(2, 3, size, size)

    program("segmentation_models_pytorch", name, "vision, segmentation", rate=1e-3, double=True, slow=True)(build)


for _name, _size in (("DeepLabV3", 64), ("UPerNet", 64), ("PAN", 128)):
    _segmentation(_name, "resnet18", _size)
