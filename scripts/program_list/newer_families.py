"""Owns the models of transformers that came to the list last: video, larger images, mattes, key points, voices, tables.

May import the list and the families before it; the builder imports the package when it runs.
"""

from __future__ import annotations

from typing import Any

from . import ids, noise
from .families import CORE, EYE, TEXT, TINY_RESNET, _image, _lm
from .later_families import GROUPED, LABELS, SOUND, _boxes, _classes, _later, _words

EQUAL = "begins with larger weights: from its own all scores are equal but for their last digits, and "

# -- images and video ------------------------------------------------------------------------------------------------

_later(
    "RTDetrForObjectDetection", "vision, detection, deformable attention",
    lambda t: t.RTDetrConfig(
        backbone_config=t.RTDetrResNetConfig(
            **{**TINY_RESNET, "hidden_sizes": [8, 16, 16, 16]}, layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16, encoder_in_channels=[16, 16, 16], encoder_ffn_dim=24, encoder_attention_heads=2,
        d_model=16, num_queries=5, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=24, decoder_n_points=2,
        decoder_layers=2, decoder_attention_heads=2, num_denoising=0, initializer_range=0.1, **LABELS,
    ), _boxes, note=EQUAL + "which of equal ones `topk` takes is not the same in the two",
)  # fmt: skip
_later(
    "TimesformerForVideoClassification", "video, attention",
    lambda t: t.TimesformerConfig(**CORE, image_size=16, patch_size=8, num_frames=2, **LABELS),
    lambda: _classes(2, 2, 3, 16, 16),
)  # fmt: skip
_later(
    "VivitForVideoClassification", "video, attention",
    lambda t: t.VivitConfig(**CORE, image_size=16, num_frames=4, tubelet_size=[2, 8, 8], **LABELS),
    lambda: _classes(2, 4, 3, 16, 16),
)  # fmt: skip
_later(
    "Swin2SRForImageSuperResolution", "vision, larger images",
    lambda t: t.Swin2SRConfig(image_size=16, embed_dim=16, depths=[2, 1], num_heads=[2, 2], window_size=4),
    lambda: _image(2, 3, 16, 16),
)  # fmt: skip
_later(
    "VitMatteForImageMatting", "vision, mattes",
    lambda t: t.VitMatteConfig(
        backbone_config=t.VitDetConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=64, pretrain_image_size=32,
            num_channels=4, window_size=2, window_block_indices=[0], residual_block_indices=[1],
            use_relative_position_embeddings=True, out_features=["stage2"],
        ), hidden_size=16, convstream_hidden_sizes=[8, 8, 16], fusion_hidden_sizes=[16, 16, 8, 8],
    ), lambda: _image(2, 4, 64, 64), double=True,
)  # fmt: skip
_later(
    "SuperPointForKeypointDetection", "vision, key points",
    lambda t: t.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, descriptor_decoder_dim=8, initializer_range=0.15,
        max_keypoints=16,
    ), lambda: _image(2, 3, 64, 64), loss=lambda out: out.scores.sum() + out.descriptors[..., 0].mean(),
    note=EQUAL + "PyTorch itself, started from weights moved by one part in 10 million, finds 2056 key points after a "
    "step instead of 1656",
)  # fmt: skip
_later(
    "HieraForImageClassification", "vision, attention",
    lambda t: t.HieraConfig(embed_dim=8, image_size=[64, 64], depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], **LABELS),
    _classes,
)  # fmt: skip
_later(
    "DINOv3ViTModel", "vision, attention",
    lambda t: t.DINOv3ViTConfig(**CORE, image_size=32, patch_size=8, num_register_tokens=2, use_gated_mlp=True),
    _image,
)  # fmt: skip
_later(
    "EfficientNetForImageClassification", "vision, convolutional",
    lambda t: t.EfficientNetConfig(
        image_size=64, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320, dropout_rate=0.1,
        drop_connect_rate=0.0, **LABELS,
    ), _classes, double=True,
)  # fmt: skip
_later(
    "MobileViTV2ForImageClassification", "vision, convolutional, attention",
    lambda t: t.MobileViTV2Config(image_size=64, width_multiplier=0.25, n_attn_blocks=[1, 1, 1], **LABELS),
    _classes, double=True,
)  # fmt: skip
_later(
    "SegGptForImageSegmentation", "vision, segmentation by example",
    lambda t: t.SegGptConfig(
        hidden_size=32, num_hidden_layers=5, num_attention_heads=4, image_size=[32, 16], patch_size=8, mlp_dim=48,
        pretrain_image_size=16, decoder_hidden_size=8, merge_index=0, intermediate_hidden_state_indices=[1, 2, 3, 4],
    ),
    lambda: _image(2, 3, 16, 16, prompt_pixel_values=noise(2, 3, 16, 16), prompt_masks=noise(2, 3, 16, 16, seed=1)),
)  # fmt: skip
_later(
    "ImageGPTForCausalImageModeling", "vision, decoder",
    lambda t: t.ImageGPTConfig(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4), _lm,
)  # fmt: skip

# -- images and language ---------------------------------------------------------------------------------------------

_later(
    "OwlViTForObjectDetection", "vision and language, detection",
    lambda t: t.OwlViTConfig(
        text_config={**TEXT, "eos_token_id": 49}, vision_config=EYE, projection_dim=32,
    ), lambda: _image(input_ids=ids(4, 9)),
)  # fmt: skip
_later(
    "GroupViTModel", "vision and language, contrastive",
    lambda t: t.GroupViTConfig(
        text_config={**TEXT, "eos_token_id": 49},
        vision_config={**EYE, "depths": [1, 1, 1], "num_group_tokens": [4, 2, 0], "num_output_groups": [4, 2, 2]},
        projection_dim=16, projection_intermediate_dim=32,
    ), lambda: _image(input_ids=ids(2, 9), return_loss=True),
)  # fmt: skip
_later(
    "LxmertForQuestionAnswering", "vision and language, encoder",
    lambda t: t.LxmertConfig(
        **{name: value for name, value in TEXT.items() if name != "num_hidden_layers"}, l_layers=1, x_layers=1,
        r_layers=1, visual_feat_dim=8, num_qa_labels=3,
    ),
    lambda: {
        "input_ids": ids(2, 9), "visual_feats": noise(2, 4, 8), "visual_pos": noise(2, 4, 4),
        "labels": ids(2, high=3),
    },
)  # fmt: skip

# -- voices ----------------------------------------------------------------------------------------------------------

_later(
    "Wav2Vec2ConformerForCTC", "audio, encoder, convolutional",
    lambda t: t.Wav2Vec2ConformerConfig(
        **SOUND, position_embeddings_type="relative", conv_depthwise_kernel_size=5, pad_token_id=0,
    ), lambda: {"input_values": noise(2, 400), "labels": ids(2, 5, high=20)},
)  # fmt: skip
_later(
    "UnivNetModel", "audio, speech synthesis",
    lambda t: t.UnivNetConfig(
        model_in_channels=8, model_hidden_channels=8, num_mel_bins=10, kernel_predictor_hidden_channels=8,
        resblock_kernel_sizes=[3, 3], resblock_stride_sizes=[4, 2], resblock_dilation_sizes=[[1, 3], [1, 3]],
        kernel_predictor_num_blocks=1,
    ), lambda: {"input_features": noise(2, 7, 10), "noise_sequence": noise(2, 7, 8, seed=1)},
)  # fmt: skip
_later(
    "MimiModel", "audio, codec",
    lambda t: t.MimiConfig(
        hidden_size=32, num_filters=4, upsampling_ratios=[4, 2], codebook_size=16, codebook_dim=8, num_quantizers=3,
        vector_quantization_hidden_dimension=8, upsample_groups=32, num_hidden_layers=1, intermediate_size=48,
        num_attention_heads=4, num_key_value_heads=4, sampling_rate=400,
    ), lambda: {"input_values": noise(2, 1, 320)}, loss=lambda out: out.audio_values.square().mean(),
)  # fmt: skip
_later(
    "MoonshineForConditionalGeneration", "audio, encoder and decoder",
    lambda t: t.MoonshineConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, encoder_num_hidden_layers=1, decoder_num_hidden_layers=1,
        encoder_num_attention_heads=4, decoder_num_attention_heads=4, pad_token_id=0,
    ), lambda: {"input_values": noise(2, 4000), "labels": ids(2, 7)},
)  # fmt: skip

# -- language --------------------------------------------------------------------------------------------------------

_later(
    "xLSTMForCausalLM", "language, recurrent",
    lambda t: t.xLSTMConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_heads=2, chunk_size=4, mode="train", use_cache=False
    ), lambda: _lm(8),
)  # fmt: skip
_later("DiffLlamaForCausalLM", "language, decoder, differences", lambda t: t.DiffLlamaConfig(**GROUPED), _lm)
_later("BitNetForCausalLM", "language, decoder", lambda t: t.BitNetConfig(**GROUPED), _lm)
_later(
    "MiniMaxForCausalLM", "language, linear attention, mixture of experts",
    lambda t: t.MiniMaxConfig(
        **GROUPED, head_dim=8, num_local_experts=4, block_size=4, layer_types=["linear_attention", "full_attention"],
    ), _lm,
)  # fmt: skip
_later(
    "Llama4ForCausalLM", "language, mixture of experts",
    lambda t: t.Llama4TextConfig(
        **GROUPED, intermediate_size_mlp=48, head_dim=8, num_local_experts=2, interleave_moe_layer_step=2,
        attention_chunk_size=4, max_position_embeddings=64,
    ), _lm,
)  # fmt: skip
_later(
    "OlmoeForCausalLM", "language, mixture of experts",
    lambda t: t.OlmoeConfig(**GROUPED, num_experts=4, num_experts_per_tok=2, pad_token_id=0), _lm,
)  # fmt: skip
_later("NomicBertForMaskedLM", "language, encoder", lambda t: t.NomicBertConfig(**TEXT), _lm)
_later(
    "RemBertForMaskedLM", "language, encoder",
    lambda t: t.RemBertConfig(**TEXT, input_embedding_size=16, output_embedding_size=24), _lm,
)  # fmt: skip
_later("YosoForMaskedLM", "language, hashed attention", lambda t: t.YosoConfig(**TEXT, max_position_embeddings=32), _lm)
_later(
    "LukeForMaskedLM", "language, entities",
    lambda t: t.LukeConfig(**TEXT, entity_vocab_size=20, entity_emb_size=8),
    lambda: {
        **_lm(), "entity_ids": ids(2, 3, high=20), "entity_position_ids": ids(2, 3, 4, high=9),
        "entity_labels": ids(2, 3, high=20),
    },
)  # fmt: skip


def _cells() -> dict[str, Any]:
    import torch

    kinds = torch.stack([ids(2, 9, high=3, seed=i) - 1 for i in range(7)], -1)
    return {"input_ids": ids(2, 9), "token_type_ids": kinds, "labels": ids(2, 9, high=3, seed=9) // 2}


_later("TapasForQuestionAnswering", "tables, encoder", lambda t: t.TapasConfig(**TEXT), _cells)
_later("TapasForSequenceClassification", "tables, encoder", lambda t: t.TapasConfig(**TEXT, **LABELS), _words)
