"""Owns the vision models on the list of public programs: convolutional, attention, mixers and segmentation.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import ids, noise, program

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
SLOW = (
    "mobilenetv3_small_100",
    "regnety_002",
    "gmixer_12_224",
    "ghostnet_050",
    "repvgg_a0",
    "mobilevit_xxs",
    "edgenext_xx_small",
    "nf_resnet26",
    "coatnet_0_rw_224",
    "repvit_m0_9",
    "levit_128s",
)
# name: (family, size of the image, options of timm.create_model)
TIMM: dict[str, tuple[str, int, dict[str, Any]]] = {
    "resnet18": ("convolutional", 64, {}),
    "resnet50": ("convolutional", 64, {"layers": [1, 1, 1, 1], "base_width": 16}),
    "convnext_tiny": ("convolutional", 64, {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32], "drop_path_rate": 0.1}),
    "mobilenetv3_small_100": ("convolutional", 64, {}),
    "regnety_002": ("convolutional", 64, {}),
    "densenet121": ("convolutional", 64, {"block_config": [2, 2, 2, 2], "growth_rate": 8}),
    "repvgg_a0": ("convolutional", 64, {}),
    "ghostnet_050": ("convolutional", 64, {}),
    "vit_tiny_patch16_224": ("attention", 32, TINY),
    "deit_tiny_distilled_patch16_224": ("attention", 32, TINY),
    "beit_base_patch16_224": ("attention", 32, TINY),
    "cait_xxs24_224": ("attention", 32, TINY),
    "xcit_nano_12_p16_224": ("attention", 32, {**TINY, "num_classes": 10}),
    "eva02_tiny_patch14_224": ("attention", 32, TINY),
    "swin_tiny_patch4_window7_224": (
        "attention",
        32,
        {"img_size": 32, "window_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)},
    ),
    "gmixer_12_224": ("mixer", 32, {"img_size": 32}),
    "mobilevit_xxs": ("convolutional, attention", 64, {}),
    "pvt_v2_b0": ("attention", 64, {"depths": (1, 1, 1, 1), "embed_dims": (8, 16, 40, 64)}),
    "nf_resnet26": (
        "convolutional",
        64,
        {"depths": (1, 1, 1, 1), "channels": (32, 64, 64, 64), "stem_chs": 16},
    ),
    "coatnet_0_rw_224": (
        "convolutional, attention",
        64,
        {"img_size": 64, "embed_dim": (32, 32, 64, 64), "depths": (1, 1, 1, 1), "stem_width": (8, 8)},
    ),
    "repvit_m0_9": ("convolutional", 64, {"embed_dim": (8, 16, 24, 32), "depth": (1, 1, 1, 1)}),
    "levit_128s": (
        "convolutional, attention",
        64,
        {"img_size": 64, "embed_dim": (16, 32, 48), "num_heads": (1, 2, 3), "depth": (1, 1, 1)},
    ),
    "edgenext_xx_small": ("convolutional, attention", 64, {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}),
}


def _timm(name: str, family: str, size: int, options: dict[str, Any]) -> None:
    def build() -> tuple:
        import timm

        return timm.create_model(name, **{"num_classes": 10, **options}), noise(2, 3, size, size)

    program("timm", name, "vision, " + family, rate=1e-3, slow=name in SLOW)(build)


for _name, _row in TIMM.items():
    _timm(_name, *_row)


@program("timm", "efficientnet_b0", "vision, convolutional", rate=1e-3, slow=True)
def _() -> tuple:
    from timm.models.efficientnet import _gen_efficientnet

    return _gen_efficientnet("efficientnet_b0", 0.25, 0.5, num_classes=10), noise(2, 3, 64, 64)


@program(
    "timm", "mobilenetv4_conv_small", "vision, convolutional", rate=1e-4, slow=True,
    note="runs with a batch of 8: the head normalises over the batch alone, and over two values that is their sign. "
    "With a batch of 2, PyTorch's third loss from weights moved by one part in 10 million is 25.24 instead of 17.58 in "
    "float64, and 13.80 to 22.17 instead of 16.78 in float32; from weights that are not moved, rushlight's in float64 "
    "is PyTorch's to 1e-07 (17.57661). With 8, the moved ones stay within 0.14%",
)  # fmt: skip
def _() -> tuple:
    from timm.models.mobilenetv3 import _gen_mobilenet_v4

    return _gen_mobilenet_v4("mobilenetv4_conv_small", 0.25, num_classes=10), noise(8, 3, 64, 64)


@program("timm", "PoolFormer", "vision, pooling", rate=1e-3, slow=True)
def _() -> tuple:
    from timm.models.metaformer import MetaFormer, Pooling

    model = MetaFormer(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32), token_mixers=Pooling, num_classes=10)
    return model, noise(2, 3, 64, 64)


VIT = {"image_size": 32, "patch_size": 8, "num_classes": 10, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 48}


@program("vit-pytorch", "ViT", "vision, attention", optimizer="AdamW")
def _() -> tuple:
    from vit_pytorch import ViT

    return ViT(**VIT, dropout=0.1, emb_dropout=0.1), noise(2, 3, 32, 32)


@program("vit-pytorch", "SimpleViT", "vision, attention")
def _() -> tuple:
    from vit_pytorch import SimpleViT

    return SimpleViT(**VIT), noise(2, 3, 32, 32)


@program("vit-pytorch", "DeepViT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.deepvit import DeepViT

    return DeepViT(**VIT), noise(2, 3, 32, 32)


@program("vit-pytorch", "CaiT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.cait import CaiT

    return CaiT(**VIT, cls_depth=1, layer_dropout=0.05), noise(2, 3, 32, 32)


@program("vit-pytorch", "T2TViT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.t2t import T2TViT

    options = {**VIT, "t2t_layers": ((7, 4), (3, 2))}
    del options["patch_size"]
    return T2TViT(**options), noise(2, 3, 32, 32)


@program("vit-pytorch", "CCT", "vision, convolutional, attention")
def _() -> tuple:
    from vit_pytorch.cct import CCT

    model = CCT(img_size=32, embedding_dim=32, n_conv_layers=2, kernel_size=3, num_layers=2, num_heads=4, num_classes=5)
    return model, noise(2, 3, 32, 32)


@program("vit-pytorch", "CvT", "vision, convolutional, attention", slow=True)
def _() -> tuple:
    from vit_pytorch.cvt import CvT

    stages = {f"s{i}_{what}": n for i in (1, 2, 3) for what, n in (("emb_dim", 16 * i), ("heads", i), ("depth", 1))}
    return CvT(num_classes=10, **stages), noise(2, 3, 64, 64)


@program("vit-pytorch", "LeViT", "vision, convolutional, attention")
def _() -> tuple:
    from vit_pytorch.levit import LeViT

    options = {"stages": 2, "dim": (16, 32), "depth": 1, "heads": (2, 4), "mlp_mult": 2}
    return LeViT(image_size=64, num_classes=10, **options), noise(2, 3, 64, 64)


@program("vit-pytorch", "CrossViT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.cross_vit import CrossViT

    options = {f"{side}_{what}": n for side, patch in (("sm", 8), ("lg", 16)) for what, n in
               (("dim", 2 * patch), ("patch_size", patch), ("enc_depth", 1), ("enc_heads", 2))}  # fmt: skip
    model = CrossViT(image_size=32, num_classes=10, depth=1, cross_attn_depth=1, cross_attn_heads=2, **options)
    return model, noise(2, 3, 32, 32)


@program("vit-pytorch", "MaxViT", "vision, convolutional, attention")
def _() -> tuple:
    from vit_pytorch.max_vit import MaxViT

    options = {"dim_conv_stem": 8, "dim": 16, "dim_head": 8, "depth": (1, 1), "window_size": 4}
    return MaxViT(num_classes=10, **options), noise(2, 3, 64, 64)


@program("vit-pytorch", "NesT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.nest import NesT

    model = NesT(image_size=32, patch_size=4, dim=16, heads=2, num_hierarchies=3, block_repeats=1, num_classes=10)
    return model, noise(2, 3, 32, 32)


@program("vit-pytorch", "RegionViT", "vision, attention")
def _() -> tuple:
    from vit_pytorch.regionvit import RegionViT

    options = {"dim": (8, 16, 24, 32), "depth": (1, 1, 1, 1), "window_size": 2, "tokenize_local_3_conv": True}
    return RegionViT(num_classes=10, **options), noise(2, 3, 64, 64)


@program("vit-pytorch", "MAE", "vision, attention, masked", loss=lambda loss: loss)
def _() -> tuple:
    from vit_pytorch import MAE, ViT

    return MAE(encoder=ViT(**VIT, pool="mean"), masking_ratio=0.5, decoder_dim=16, decoder_depth=1), noise(2, 3, 32, 32)


@program("transformers", "ViTForImageClassification", "vision, attention")
def _() -> tuple:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8
    )
    return ViTForImageClassification(config), {"pixel_values": noise(2, 3, 32, 32), "labels": ids(2, high=2)}


@program("transformers", "ConvNextForImageClassification", "vision, convolutional")
def _() -> tuple:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_labels=3)
    return ConvNextForImageClassification(config), {"pixel_values": noise(2, 3, 64, 64), "labels": ids(2, high=3)}


@program("transformers", "SwinForImageClassification", "vision, attention")
def _() -> tuple:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
    return SwinForImageClassification(config), {"pixel_values": noise(2, 3, 32, 32), "labels": ids(2, high=2)}


@program("transformers", "SegformerForSemanticSegmentation", "vision, segmentation")
def _() -> tuple:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 3, 4], decoder_hidden_size=16
    )
    return SegformerForSemanticSegmentation(config), {
        "pixel_values": noise(2, 3, 64, 64),
        "labels": ids(2, 64, 64, high=2),
    }


@program("transformers", "CLIPModel", "vision and language, contrastive")
def _() -> tuple:
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = CLIPConfig(
        text_config={**shared, "vocab_size": 50, "eos_token_id": 49},
        vision_config={**shared, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    return CLIPModel(config), {"input_ids": ids(2, 9), "pixel_values": noise(2, 3, 32, 32), "return_loss": True}


@program("efficientnet_pytorch", "EfficientNet", "vision, convolutional", slow=True)
def _() -> tuple:
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-b0", num_classes=10, image_size=64), noise(2, 3, 64, 64)


def _segmentation(name: str, encoder: str, **fields: Any) -> None:
    def build() -> tuple:
        import segmentation_models_pytorch

        model = getattr(segmentation_models_pytorch, name)(encoder_weights=None, classes=2, encoder_name=encoder)
        return model, noise(2, 3, 64, 64)

    # Deep features of a small image are normalised over a few values, or two: in float32 PyTorch itself, started from
    # weights moved in their last digit, gets another third loss. docs/programs.md has the numbers.
    program("segmentation_models_pytorch", name, "vision, segmentation", rate=1e-3, double=True, **fields)(build)


_segmentation("Unet", "resnet18")
_segmentation("UnetPlusPlus", "resnet18", slow=True)
_segmentation("FPN", "efficientnet-b0", slow=True)
_segmentation("PSPNet", "resnet18")
_segmentation("Linknet", "resnet18", slow=True)
_segmentation("MAnet", "resnet18", slow=True)
_segmentation("DeepLabV3Plus", "resnet18", slow=True)
_segmentation("Segformer", "mit_b0", slow=True)


@program("open_clip_torch", "CLIP-ViT", "vision and language, contrastive")
def _() -> tuple:
    from open_clip.model import CLIP

    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
    text = {"context_length": 9, "vocab_size": 50, "width": 32, "heads": 4, "layers": 2}
    return CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text), (noise(2, 3, 32, 32), ids(2, 9))


@program("open_clip_torch", "CLIP-ResNet", "vision and language, contrastive")
def _() -> tuple:
    from open_clip.model import CLIP

    vision = {"image_size": 64, "layers": (1, 1, 1, 1), "width": 16, "head_width": 8, "patch_size": None}
    text = {"context_length": 9, "vocab_size": 50, "width": 32, "heads": 4, "layers": 2}
    return CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text), (noise(2, 3, 64, 64), ids(2, 9))


@program(
    "open_clip_torch",
    "CoCa",
    "vision and language, captions",
    loss=lambda out: out["logits"].square().mean(),
    note="the package leaves `text_decoder.text_projection` uninitialised; it is drawn before the comparison",
)
def _() -> tuple:
    import torch
    from open_clip.coca_model import CoCa

    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8, "attentional_pool": True,
              "attn_pooler_heads": 4, "output_tokens": True}  # fmt: skip
    text = {"context_length": 9, "vocab_size": 50, "width": 32, "heads": 4, "layers": 2, "embed_cls": True,
            "output_tokens": True}  # fmt: skip
    several = {"context_length": 9, "vocab_size": 50, "width": 32, "heads": 4, "layers": 2}
    model = CoCa(embed_dim=32, multimodal_cfg=several, text_cfg=text, vision_cfg=vision)
    torch.nn.init.normal_(model.text_decoder.text_projection, std=0.1)
    return model, (noise(2, 3, 32, 32), ids(2, 9))
