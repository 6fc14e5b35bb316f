"""Owns one small model of each further module of timm on the list of public programs, most in float64.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from . import LAYOUT, noise, program

CONVOLUTIONAL, ATTENTION, BOTH = "convolutional", "attention", "convolutional, attention"
STAGES = (1, 1, 1, 1)
DIMS = (8, 16, 24, 32)
TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
SAM = {"window_size": 2, "global_attn_indexes": (1,), "neck_chans": 16}
# name of a model: further fields of the program
FIELDS: dict[str, dict[str, Any]] = {
    "cpubone_nano": {"note": LAYOUT},
    **{
        name: {
            "steps": 1,
            "note": "one step: from weights moved by one part in 10 million, PyTorch's own losses are "
            f"{moved} instead of {losses} in float64",
        }
        for name, moved, losses in (
            ("inception_v3", "5.645, 4.047, 3.558", "5.645, 5.438, 3.825"),
            ("inception_v4", "1.290, 1.161, 0.916", "1.291, 1.203, 0.975"),
        )
    },
}
# name of a model: (family, size of the image, options of timm.create_model)
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "coat_tiny": (
        BOTH, 64, {"img_size": 64, "embed_dims": (32, 32, 32, 32), "serial_depths": STAGES, "parallel_depth": 1},
    ),
    "cpubone_nano": (
        BOTH, 128,
        {"width_list": (8, *DIMS), "depth_list": (0, *STAGES), "head_widths": (32, 16), "proj_drop_rate": 0.0},
    ),
    "csatv2": (BOTH, 128, {"dims": DIMS, "depths": (1, 1, 2, 1), "transformer_depths": (0, 0, 1, 1)}),
    "cspnext_tiny": (CONVOLUTIONAL, 64, {"channels": DIMS, "depths": STAGES, "widen_factor": 1.0}),
    "deepseek_vit_412m": (ATTENTION, 32, {**TINY, "mlp_ratio": 2}),
    "dpn48b": (CONVOLUTIONAL, 64, {"k_r": 32, "groups": 8, "k_sec": STAGES, "inc_sec": (8, 8, 8, 8)}),
    "efficientformer_l1": (BOTH, 224, {"depths": (1, 1, 1, 2), "embed_dims": DIMS}),
    "efficientvim_m1": (BOTH, 128, {"embed_dim": (16, 24, 32), "depths": (1, 1, 1), "state_dim": (16, 9, 4)}),
    "efficientvit_m0": (
        BOTH, 128,
        {"img_size": 128, "embed_dim": (16, 24, 32), "key_dim": (4, 4, 4), "depth": (1, 1, 1), "num_heads": (2, 2, 2)},
    ),
    "fastvit_sa12": (BOTH, 64, {"layers": STAGES, "embed_dims": (8, 16, 32, 64)}),
    "gemma4_vit_167m": (
        ATTENTION, 32, {**TINY, "head_dim": 8, "intermediate_size": 48, "position_embedding_size": 16},
    ),
    "hardcorenas_a": (CONVOLUTIONAL, 64, {}),
    "sam2_hiera_tiny": (ATTENTION, 64, {"embed_dim": 8, "stages": (1, 1, 2, 1), "global_att_blocks": (3,)}),
    "iformer_t": (BOTH, 64, {"dims": DIMS, "depths": (1, 1, 4, 4), "attn_groups": (0, 0, 1, 1)}),
    "inception_resnet_v2": (CONVOLUTIONAL, 128, {}),
    "inception_v3": (CONVOLUTIONAL, 128, {}),
    "inception_v4": (CONVOLUTIONAL, 128, {}),
    "lcnetv2_small": (CONVOLUTIONAL, 64, {"scale": 0.125, "depths": STAGES, "head_hidden_size": 32}),
    "lowformer_b0": (BOTH, 128, {"width_list": (8, *DIMS), "depth_list": (0, *STAGES), "head_widths": (32, 16)}),
    "nasnetalarge": (CONVOLUTIONAL, 64, {"stem_size": 8, "num_features": 192}),
    "nextvit_small": (BOTH, 64, {"stem_chs": (8, 8, 8), "depths": (1, 1, 5, 1)}),
    "pnasnet5large": (CONVOLUTIONAL, 64, {}),
    "qwen3_vit_88m": (ATTENTION, 32, {**TINY, "pos_embed_grid_size": 8}),
    "rdnet_tiny": (
        CONVOLUTIONAL, 64, {"num_init_features": 16, "growth_rates": (8,) * 7, "num_blocks_list": (1,) * 7},
    ),
    "swiftformer_xs": (BOTH, 64, {"layers": [2, 1, 1, 1], "embed_dims": list(DIMS)}),
    "swinv2_cr_tiny_224": (
        ATTENTION, 64, {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (2, 1), "num_heads": (2, 4)},
    ),
    "tresnet_m": (CONVOLUTIONAL, 64, {"layers": list(STAGES), "width_factor": 0.25}),
    "vit_tiny_r_s16_p8_224": (BOTH, 64, {**TINY, "img_size": 64}),
    "vit_relpos_small_patch16_224": (ATTENTION, 32, TINY),
    "vit_srelpos_small_patch16_224": (ATTENTION, 32, TINY),
    "samvit_base_patch16_224": (ATTENTION, 32, {**TINY, **SAM}),
    "legacy_xception": (CONVOLUTIONAL, 64, {}),
}  # fmt: skip


def _put(name: str, family: str, size: int, build_model: Callable[[], Any]) -> None:
    # Most normalise over few values in their last stages: see docs/programs.md on float64.
    program("timm", name, "vision, " + family, rate=1e-3, slow=True, double=True, **FIELDS.get(name, {}))(
        lambda: (build_model(), noise(2, 3, size, size))
    )


def _named(name: str, family: str, size: int, options: dict[str, Any]) -> None:
    def build() -> Any:
        import timm

        return timm.create_model(name, **{"num_classes": 10, **options})

    _put(name, family, size, build)


for _name, _row in MODELS.items():
    _named(_name, *_row)


# -- classes, where the functions that name sizes do not let them be smaller -----------------------------------------


def _class(name: str, family: str, size: int, make: Callable[[Any], Any]) -> None:
    """Put a model on the list that ``make`` builds from the module of timm of which ``name`` tells, as module.Class."""
    module, label = name.split(".")
    _put(label, family, size, lambda: make(importlib.import_module(f"timm.models.{module}")))


def _attention(layer: str) -> Callable[[Any], Any]:
    def make(m: Any) -> Any:
        blocks = [m.ByoBlockCfg(type=kind, d=1, c=width, s=2, gs=0, br=0.5) for kind, width in
                  (("bottle", 16), ("self_attn", 32))]  # fmt: skip
        cfg = m.ByoModelCfg(
            blocks=tuple(blocks), stem_chs=16, stem_type="tiered", stem_pool="maxpool", self_attn_layer=layer,
            fixed_input_size=layer != "halo", self_attn_kwargs={"dim_head": 8},
        )  # fmt: skip
        return m.ByobNet(cfg, img_size=128 if layer != "halo" else None, num_classes=10)

    return make


for _layer in ("bottleneck", "halo", "lambda"):
    _class(f"byobnet.ByobNet-{_layer}", BOTH, 128, _attention(_layer))
_class(
    "cspnet.CspNet", CONVOLUTIONAL, 64,
    lambda m: m.CspNet(
        m.CspModelCfg(
            stem=m.CspStemCfg(out_chs=8, kernel_size=7, stride=4, pool="max"),
            stages=m.CspStagesCfg(
                depth=STAGES, out_chs=DIMS, stride=(1, 2), expand_ratio=2.0, bottle_ratio=0.5, cross_linear=True
            ),
        ), num_classes=10,
    ),
)  # fmt: skip
_class(
    "hgnet.HighPerfGpuNet", CONVOLUTIONAL, 64,
    lambda m: m.HighPerfGpuNet(
        {
            "stem_type": "v2", "stem_chs": [8, 8],
            "stage1": [8, 8, 16, 1, False, False, 3, 2], "stage2": [16, 8, 24, 1, True, False, 3, 2],
            "stage3": [24, 8, 32, 1, True, True, 5, 2], "stage4": [32, 8, 48, 1, True, True, 5, 2],
        }, num_classes=10, head_hidden_size=32, use_lab=True,
    ),
)  # fmt: skip


def _branches(count: int) -> dict[str, Any]:
    return {
        "num_modules": 1, "num_branches": count, "block_type": "BASIC" if count > 1 else "BOTTLENECK",
        "num_blocks": (1,) * count, "num_channels": DIMS[:count], "fuse_method": "SUM",
    }  # fmt: skip


_class(
    "hrnet.HighResolutionNet", CONVOLUTIONAL, 64,
    lambda m: m.HighResolutionNet(
        {"stem_width": 8, **{f"stage{count}": _branches(count) for count in (1, 2, 3, 4)}}, num_classes=10
    ),
)  # fmt: skip


def _mobilenet(m: Any) -> Any:
    blocks = [
        ["er_r1_k3_s2_e2_c8"],
        ["uir_r1_a3_k5_s2_e2_c16"],
        ["uir_r1_a5_k5_s2_e2_c16", "mqa_r1_k3_h2_s2_d8_c16", "uir_r1_a0_k0_s1_e2_c16"],
        ["uir_r1_a5_k5_s2_e2_c24", "mqa_r1_k3_h2_s1_d8_c24", "uir_r1_a0_k0_s1_e2_c24"],
    ]
    return m.MobileNetV5(
        m.decode_arch_def(blocks), num_classes=10, stem_size=8, num_features=32, msfa_output_resolution=4,
        norm_layer=m.RmsNorm2d, layer_scale_init_value=1e-5,
    )  # fmt: skip


_class("mobilenetv5.MobileNetV5", BOTH, 128, _mobilenet)
_class(
    "mlp_mixer.ResMLP", "mixer", 32,
    lambda m: m.MlpMixer(
        num_classes=10, img_size=32, patch_size=8, num_blocks=2, embed_dim=32, mlp_ratio=4, block_layer=m.ResBlock,
        norm_layer=m.Affine,
    ),
)  # fmt: skip
_class(
    "mvitv2.MultiScaleVit", ATTENTION, 64,
    lambda m: m.MultiScaleVit(m.MultiScaleVitCfg(depths=STAGES, embed_dim=8), img_size=(64, 64), num_classes=10),
)  # fmt: skip
_class(
    "naflexvit.NaFlexVit", ATTENTION, 32,
    lambda m: m.NaFlexVit(m.NaFlexVitCfg(patch_size=8, embed_dim=32, depth=2, num_heads=4), num_classes=10),
)  # fmt: skip
_class(
    "repghost.RepGhostNet", CONVOLUTIONAL, 64,
    lambda m: m.RepGhostNet(
        [[[3, 8, 8, 0, 1]], [[3, 16, 12, 0, 2]], [[5, 24, 16, 0.25, 2]], [[3, 32, 24, 0, 2], [5, 48, 32, 0.25, 2]]],
        num_classes=10,
    ),
)  # fmt: skip


def _selecsls(m: Any) -> Any:
    features = [(32, 0, 8, 16, True, 2), (16, 16, 8, 16, False, 1), (16, 0, 8, 24, True, 2)]
    return m.SelecSls(
        {
            "block": m.SelecSlsBlock, "features": features, "head": [(24, 32, 3, 2), (32, 32, 1, 1)],
            "num_features": 32, "feature_info": [{"num_chs": 32, "reduction": 2, "module": "stem.2"}],
        }, num_classes=10,
    )  # fmt: skip


_class("selecsls.SelecSls", CONVOLUTIONAL, 64, _selecsls)


def _vgg(m: Any) -> Any:
    from torch import nn

    return m.VGG(
        [8, "M", 16, "M", 24, 24, "M", 32, 32, "M"], num_classes=10, mlp_ratio=0.0625, norm_layer=nn.BatchNorm2d
    )


_class("vgg.VGG", CONVOLUTIONAL, 64, _vgg)


def _vitamin(m: Any) -> Any:
    import timm

    stem = m.VitCfg(
        embed_dim=(8, 16, 32), depths=(1, 1, 1), stem_width=8, head_type="1d",
        conv_cfg=m.VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
    )  # fmt: skip
    sizes = {"img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 4, "embed_cfg": stem}
    return timm.create_model("vitamin_small_224", num_classes=10, **sizes)


_class("vitamin.ViTamin", BOTH, 64, _vitamin)
_class(
    "vovnet.VovNet", CONVOLUTIONAL, 64,
    lambda m: m.VovNet(
        {
            "stem_chs": [8, 8, 8], "stage_conv_chs": [8, 8, 16, 32], "stage_out_chs": [16, 24, 32, 32],
            "layer_per_block": 2, "block_per_stage": [1, 1, 1, 2], "residual": True, "depthwise": True, "attn": "ese",
        }, num_classes=10,
    ),
)  # fmt: skip
_class(
    "xception_aligned.XceptionAligned", CONVOLUTIONAL, 64,
    lambda m: m.XceptionAligned(
        [
            {"in_chs": 64, "out_chs": 32, "stride": 2}, {"in_chs": 32, "out_chs": 32, "stride": 1},
            {"in_chs": 32, "out_chs": (32, 48, 48), "stride": 2},
            {"in_chs": 48, "out_chs": (48, 48, 64), "stride": 1, "no_skip": True, "start_with_relu": False},
        ], num_classes=10,
    ),
)  # fmt: skip
