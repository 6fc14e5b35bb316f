"""Owns the models of transformers that came to the list later: detection, further encoders and decoders, sound.

May import the list and the families; the builder imports the package when it runs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import ids, noise
from .families import CORE, EYE, NO_BACKBONE, SIDES, TEXT, _family, _future, _image, _lm, _resnet

_later = partial(_family, slow=True)

GROUPED = {**TEXT, "num_key_value_heads": 2}
SMALL_SIDES = {"vocab_size": 50, "d_model": 32, **SIDES}
LABELS = {"num_labels": 2}
SOUND = {
    **CORE, "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "vocab_size": 20, "mask_time_prob": 0.0,
}  # fmt: skip


def _classes(*shape: int) -> dict:
    return _image(*(shape or (2, 3, 64, 64)), labels=ids(2, high=2))


def _heard() -> dict:
    return {"input_values": noise(2, 400), "labels": ids(2, high=2)}


def _words() -> dict:
    return {"input_ids": ids(2, 9), "labels": ids(2, high=2)}


def _boxes() -> dict:
    import torch

    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.6, 0.3, 0.4]])
    return _image(2, 3, 64, 64, labels=[{"class_labels": torch.tensor([1, 0]), "boxes": boxes} for _ in range(2)])


def _masks() -> dict:
    import torch

    masks = (noise(2, 64, 64, seed=5) > 0).float()
    return _image(2, 3, 64, 64, mask_labels=[masks, masks], class_labels=[torch.tensor([0, 1])] * 2)


# -- detection and segmentation --------------------------------------------------------------------------------------

DEFORMABLE = {**NO_BACKBONE, "d_model": 32, **SIDES, "encoder_n_points": 2, "decoder_n_points": 2, "decoder_layers": 2}
_later(
    "DeformableDetrForObjectDetection", "vision, detection, deformable attention",
    lambda t: t.DeformableDetrConfig(
        **DEFORMABLE, backbone_config=_resnet(t, "stage2", "stage3", "stage4"), num_feature_levels=3,
        auxiliary_loss=True,
    ), _boxes,
)  # fmt: skip
_later(
    "ConditionalDetrForObjectDetection", "vision, detection",
    lambda t: t.ConditionalDetrConfig(**NO_BACKBONE, backbone_config=_resnet(t, "stage4"), d_model=16, **SIDES),
    lambda: _image(2, 3, 64, 64),
)  # fmt: skip
_later(
    "YolosForObjectDetection", "vision, detection",
    lambda t: t.YolosConfig(**CORE, image_size=[64, 64], patch_size=16, num_detection_tokens=5),
    _boxes,
)  # fmt: skip


def _swin(t: Any) -> Any:
    return t.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


_later(
    "MaskFormerForInstanceSegmentation", "vision, segmentation",
    lambda t: t.MaskFormerConfig(
        fpn_feature_size=32, mask_feature_size=32, backbone_config=_swin(t),
        decoder_config=t.DetrConfig(d_model=32, num_queries=5, **{**SIDES, "encoder_layers": 0}),
    ), _masks,
)  # fmt: skip
_later(
    "Mask2FormerForUniversalSegmentation", "vision, segmentation, deformable attention",
    lambda t: t.Mask2FormerConfig(
        backbone_config=_swin(t), feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, dim_feedforward=24, encoder_feedforward_dim=24, num_queries=5,
        num_labels=2, train_num_points=20,
    ), _masks,
)  # fmt: skip
_later(
    "UperNetForSemanticSegmentation", "vision, segmentation",
    lambda t: t.UperNetConfig(
        backbone_config=_swin(t), hidden_size=16, pool_scales=[1, 2], use_auxiliary_head=True, auxiliary_channels=8,
        auxiliary_in_channels=32, num_labels=2,
    ), lambda: _image(2, 3, 64, 64, labels=ids(2, 64, 64, high=2)), double=True,
)  # fmt: skip
_later(
    "CLIPSegForImageSegmentation", "vision and language, segmentation",
    lambda t: t.CLIPSegConfig(
        text_config={**TEXT, "eos_token_id": 49}, vision_config=EYE, projection_dim=16, reduce_dim=8,
        extract_layers=[0, 1], decoder_num_attention_heads=2, decoder_intermediate_size=16,
    ), lambda: _image(input_ids=ids(2, 9)),
)  # fmt: skip

# -- images ----------------------------------------------------------------------------------------------------------

TINY = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "embedding_size": 8, **LABELS}
_later("ResNetForImageClassification", "vision, convolutional", lambda t: t.ResNetConfig(**TINY), _classes)
_later(
    "RegNetForImageClassification", "vision, convolutional", lambda t: t.RegNetConfig(**TINY, groups_width=8), _classes
)
_later(
    "ConvNextV2ForImageClassification", "vision, convolutional",
    lambda t: t.ConvNextV2Config(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], **LABELS), _classes,
)  # fmt: skip
_later(
    "Swinv2ForImageClassification", "vision, attention",
    lambda t: t.Swinv2Config(image_size=32, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, **LABELS),
    lambda: _classes(2, 3, 32, 32),
)  # fmt: skip
_later(
    "ViTMAEForPreTraining", "vision, attention, masked",
    lambda t: t.ViTMAEConfig(
        **CORE, image_size=32, patch_size=8, decoder_num_attention_heads=2, decoder_hidden_size=16,
        decoder_num_hidden_layers=1, decoder_intermediate_size=24,
    ), lambda: _image(noise=noise(2, 16, seed=3)),
)  # fmt: skip
_later(
    "MobileNetV2ForImageClassification", "vision, convolutional",
    lambda t: t.MobileNetV2Config(depth_multiplier=0.25, image_size=64, **LABELS), _classes, double=True,
)  # fmt: skip
_later(
    "FocalNetForImageClassification", "vision, convolutional",
    lambda t: t.FocalNetConfig(
        image_size=32, embed_dim=8, depths=[1, 1], hidden_sizes=[8, 16], focal_levels=[2, 2], focal_windows=[3, 3],
        **LABELS,
    ), lambda: _classes(2, 3, 32, 32),
)  # fmt: skip

# -- sound -----------------------------------------------------------------------------------------------------------

_later("WavLMForSequenceClassification", "audio, encoder", lambda t: t.WavLMConfig(**SOUND), _heard)
_later(
    "UniSpeechSatForSequenceClassification", "audio, encoder",
    lambda t: t.UniSpeechSatConfig(**SOUND, num_codevectors_per_group=8, codevector_dim=8, proj_codevector_dim=8),
    _heard,
)  # fmt: skip
_later(
    "Data2VecAudioForSequenceClassification", "audio, encoder",
    lambda t: t.Data2VecAudioConfig(**{**SOUND, "num_conv_pos_embeddings": 2}, conv_pos_kernel_size=5), _heard,
)  # fmt: skip
_later("SEWForSequenceClassification", "audio, encoder", lambda t: t.SEWConfig(**SOUND, squeeze_factor=2), _heard)
_later(
    "Speech2TextForConditionalGeneration", "audio, encoder and decoder",
    lambda t: t.Speech2TextConfig(
        **SMALL_SIDES, input_feat_per_channel=8, conv_channels=16, max_source_positions=64, max_target_positions=32,
    ), lambda: {"input_features": noise(2, 32, 8), "labels": ids(2, 7)},
)  # fmt: skip
_later(
    "DacModel", "audio, codec",
    lambda t: t.DacConfig(
        encoder_hidden_size=8, downsampling_ratios=[2, 4], upsampling_ratios=[4, 2], decoder_hidden_size=32,
        n_codebooks=2, codebook_size=16, codebook_dim=4, hidden_size=32,
    ), lambda: {"input_values": noise(2, 1, 400)}, loss=lambda out: out.audio_values.square().mean(),
)  # fmt: skip

# -- decoders --------------------------------------------------------------------------------------------------------

_later(
    "GPTNeoForCausalLM", "language, decoder",
    lambda t: t.GPTNeoConfig(
        vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=4, max_position_embeddings=16,
    ), _lm,
)  # fmt: skip
_later(
    "CodeGenForCausalLM", "language, decoder",
    lambda t: t.CodeGenConfig(vocab_size=50, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=16), _lm,
)  # fmt: skip
_later("Starcoder2ForCausalLM", "language, decoder", lambda t: t.Starcoder2Config(**GROUPED), _lm)
_later("StableLmForCausalLM", "language, decoder", lambda t: t.StableLmConfig(**GROUPED), _lm)
_later("Phi3ForCausalLM", "language, decoder", lambda t: t.Phi3Config(**GROUPED, pad_token_id=0), _lm)
_family("Qwen3ForCausalLM", "language, decoder", lambda t: t.Qwen3Config(**GROUPED, head_dim=8), _lm)
_later(
    "Qwen3MoeForCausalLM", "language, mixture of experts",
    lambda t: t.Qwen3MoeConfig(**GROUPED, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
    _lm,
)  # fmt: skip
_later("Olmo2ForCausalLM", "language, decoder", lambda t: t.Olmo2Config(**GROUPED, pad_token_id=0), _lm)
_later("Cohere2ForCausalLM", "language, decoder", lambda t: t.Cohere2Config(**GROUPED, sliding_window=4), _lm)
_later("GraniteForCausalLM", "language, decoder", lambda t: t.GraniteConfig(**GROUPED), _lm)
_later("Glm4ForCausalLM", "language, decoder", lambda t: t.Glm4Config(**GROUPED, head_dim=8, pad_token_id=0), _lm)
_later(
    "MptForCausalLM", "language, decoder", lambda t: t.MptConfig(vocab_size=50, d_model=32, n_heads=4, n_layers=2), _lm,
)  # fmt: skip
_later(
    "XGLMForCausalLM", "language, decoder",
    lambda t: t.XGLMConfig(vocab_size=50, d_model=32, ffn_dim=48, num_layers=2, attention_heads=4), _lm,
)  # fmt: skip
_later(
    "CTRLLMHeadModel", "language, decoder",
    lambda t: t.CTRLConfig(vocab_size=50, n_embd=32, dff=48, n_layer=2, n_head=4, n_positions=16), _lm,
)  # fmt: skip
_later(
    "ZambaForCausalLM", "language, state-space, attention",
    lambda t: t.ZambaConfig(
        **{**TEXT, "num_hidden_layers": 4}, attention_hidden_size=64, attention_head_dim=16, mamba_d_state=8,
        n_mamba_heads=2, layers_block_type=["mamba", "hybrid"] * 2, use_mamba_kernels=False, mamba_dt_rank=4,
        num_key_value_heads=4,
    ), _lm,
)  # fmt: skip

# -- encoders, and both ----------------------------------------------------------------------------------------------

_later(
    "DebertaForSequenceClassification", "language, encoder",
    lambda t: t.DebertaConfig(**TEXT, relative_attention=True, pos_att_type="c2p|p2c"), _words,
)  # fmt: skip
_later(
    "MobileBertForSequenceClassification", "language, encoder",
    lambda t: t.MobileBertConfig(**{**TEXT, "intermediate_size": 32}, embedding_size=16, intra_bottleneck_size=16),
    _words,
)  # fmt: skip
_later(
    "SqueezeBertForSequenceClassification", "language, encoder",
    lambda t: t.SqueezeBertConfig(**TEXT, embedding_size=32), _words,
)  # fmt: skip
_later(
    "ConvBertForSequenceClassification", "language, encoder, convolutional",
    lambda t: t.ConvBertConfig(**TEXT, embedding_size=16), _words,
)  # fmt: skip
_later("RoFormerForMaskedLM", "language, encoder", lambda t: t.RoFormerConfig(**TEXT, embedding_size=16), _lm)
_later("MPNetForMaskedLM", "language, encoder", lambda t: t.MPNetConfig(**TEXT), _lm)
_later("IBertForMaskedLM", "language, encoder", lambda t: t.IBertConfig(**TEXT), _lm)
_later(
    "XLMWithLMHeadModel", "language, encoder",
    lambda t: t.XLMConfig(vocab_size=50, emb_dim=32, n_layers=2, n_heads=4), _lm,
)  # fmt: skip
_later("MBartForConditionalGeneration", "language, encoder and decoder", lambda t: t.MBartConfig(**SMALL_SIDES), _lm)
_later("MarianMTModel", "language, encoder and decoder",
        lambda t: t.MarianConfig(**SMALL_SIDES, pad_token_id=0, decoder_start_token_id=0), _lm)  # fmt: skip
_later("M2M100ForConditionalGeneration", "language, encoder and decoder", lambda t: t.M2M100Config(**SMALL_SIDES), _lm)
_later("LEDForConditionalGeneration", "language, windowed attention",
        lambda t: t.LEDConfig(**SMALL_SIDES, attention_window=4), _lm)  # fmt: skip
_later(
    "LongT5ForConditionalGeneration", "language, windowed attention",
    lambda t: t.LongT5Config(
        vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, local_radius=3,
        global_block_size=4, encoder_attention_type="transient-global",
    ), _lm,
)  # fmt: skip
_later(
    "SwitchTransformersForConditionalGeneration", "language, mixture of experts",
    lambda t: t.SwitchTransformersConfig(
        vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_sparse_encoder_layers=1, num_decoder_layers=2,
        num_sparse_decoder_layers=1, num_heads=4, num_experts=4, decoder_start_token_id=0,
    ), _lm,
)  # fmt: skip

# -- images and language, series -------------------------------------------------------------------------------------

_later(
    "GitForCausalLM", "vision and language, captions",
    lambda t: t.GitConfig(**TEXT, vision_config=EYE), lambda: _image(**_lm()),
)  # fmt: skip
_later(
    "AltCLIPModel", "vision and language, contrastive",
    lambda t: t.AltCLIPConfig(
        text_config={**TEXT, "project_dim": 16, "pad_token_id": 0}, vision_config=EYE, projection_dim=16
    ), lambda: _image(input_ids=ids(2, 9), return_loss=True),
)  # fmt: skip
_later(
    "InformerForPrediction", "series, sparse attention",
    lambda t: t.InformerConfig(
        prediction_length=4, context_length=8, lags_sequence=[1, 2], num_time_features=1, **SIDES, d_model=16
    ), _future,
)  # fmt: skip
