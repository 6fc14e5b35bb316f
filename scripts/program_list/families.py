"""Owns the models of transformers on the list that are neither plain language nor plain vision models.

May import the list; the builder imports the package when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import ids, noise, program

CORE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TEXT = {"vocab_size": 50, **CORE}
SIDES = {
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
}  # fmt: skip
MAMBA = {"mamba_d_state": 8, "mamba_chunk_size": 4, "mamba_d_head": 8}
SERIES = {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2], "num_time_features": 1}
PATCHES = {"num_input_channels": 2, "context_length": 16, "patch_length": 4, "patch_stride": 4, "prediction_length": 4}
NO_BACKBONE = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "num_queries": 5}
TINY_RESNET = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "embedding_size": 8}


def _family(model: str, kind: str, config: Callable[[Any], Any], inputs: Callable[[], dict], **fields: Any) -> None:
    """Put a model on the list by its configuration, made from the package, and its inputs."""

    def build() -> tuple:
        import transformers

        return getattr(transformers, model)(config(transformers)), inputs()

    program("transformers", model, kind, **fields)(build)


def _lm(length: int = 9) -> dict:
    return {"input_ids": ids(2, length), "labels": ids(2, length)}


def _image(*shape: int, **more: Any) -> dict:
    return {"pixel_values": noise(*(shape or (2, 3, 32, 32))), **more}


def _future() -> dict:
    import torch

    return {
        "past_values": noise(2, 10), "past_time_features": noise(2, 10, 1), "future_values": noise(2, 4),
        "past_observed_mask": torch.ones(2, 10), "future_time_features": noise(2, 4, 1),
    }  # fmt: skip


def _patches() -> dict:
    return {"past_values": noise(2, 16, 2), "future_values": noise(2, 4, 2)}


def _resnet(t: Any, *stages: str) -> Any:
    return t.ResNetConfig(**TINY_RESNET, out_features=list(stages))


# -- state-space and recurrent ---------------------------------------------------------------------------------------

_family(
    "FalconMambaForCausalLM", "language, state-space",
    lambda t: t.FalconMambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=8), _lm,
)  # fmt: skip
_family(
    "JambaForCausalLM", "language, state-space, mixture of experts",
    lambda t: t.JambaConfig(
        **TEXT, num_key_value_heads=2, num_experts=2, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2,
        expert_layer_offset=1, mamba_d_state=8, use_mamba_kernels=False,
    ), _lm,
)  # fmt: skip
_family(
    "BambaForCausalLM", "language, state-space, attention",
    lambda t: t.BambaConfig(**TEXT, **MAMBA, num_key_value_heads=2, attn_layer_indices=[1], mamba_n_heads=8), _lm,
)  # fmt: skip
_family(
    "RecurrentGemmaForCausalLM", "language, recurrent, attention",
    lambda t: t.RecurrentGemmaConfig(
        **{**TEXT, "num_hidden_layers": 3}, lru_width=32, num_key_value_heads=1, attention_window_size=8
    ), _lm,
)  # fmt: skip
_family(
    "Zamba2ForCausalLM", "language, state-space, attention",
    lambda t: t.Zamba2Config(
        **TEXT, mamba_d_state=8, n_mamba_heads=2, mamba_headdim=32, chunk_size=4, num_mem_blocks=1,
        layers_block_type=["mamba", "hybrid"], num_key_value_heads=4,
    ), _lm,
)  # fmt: skip
_family(
    "Lfm2ForCausalLM", "language, convolutional, attention",
    lambda t: t.Lfm2Config(
        **TEXT, num_key_value_heads=2, layer_types=["conv", "full_attention"], block_multiple_of=8
    ), _lm,
)  # fmt: skip
_family(
    "Qwen3NextForCausalLM", "language, linear attention, mixture of experts",
    lambda t: t.Qwen3NextConfig(
        **TEXT, num_key_value_heads=2, head_dim=8, linear_key_head_dim=8, linear_value_head_dim=8,
        linear_num_key_heads=2, linear_num_value_heads=4, layer_types=["linear_attention", "full_attention"],
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16,
    ), _lm,
)  # fmt: skip
_family(
    "FalconH1ForCausalLM", "language, state-space, attention",
    lambda t: t.FalconH1Config(**TEXT, **MAMBA, num_key_value_heads=2, mamba_d_ssm=32, mamba_n_heads=4), _lm,
)  # fmt: skip

# -- attention that is not over everything ---------------------------------------------------------------------------

_family(
    "ReformerModelWithLMHead", "language, hashed attention",
    lambda t: t.ReformerConfig(
        vocab_size=50, hidden_size=32, num_attention_heads=4, attention_head_size=8, feed_forward_size=48,
        attn_layers=["local", "lsh"], axial_pos_shape=[2, 6], axial_pos_embds_dim=[8, 24], is_decoder=True,
        local_attn_chunk_length=4, lsh_attn_chunk_length=4, num_buckets=2, hash_seed=0,
        hidden_dropout_prob=0.0, local_attention_probs_dropout_prob=0.0,
    ), lambda: _lm(12),
    note="runs without dropout: in training the model takes a new seed from the system (`torch.seed()`) in every layer",
)  # fmt: skip
_family(
    "LongformerForMaskedLM", "language, windowed attention",
    lambda t: t.LongformerConfig(**TEXT, attention_window=4, max_position_embeddings=40), _lm,
)  # fmt: skip
_family(
    "BigBirdForMaskedLM", "language, sparse attention",
    lambda t: t.BigBirdConfig(
        **TEXT, attention_type="block_sparse", block_size=2, num_random_blocks=1, max_position_embeddings=64
    ), lambda: _lm(24),
)  # fmt: skip
_family(
    "NystromformerForMaskedLM", "language, low-rank attention",
    lambda t: t.NystromformerConfig(
        **TEXT, num_landmarks=3, segment_means_seq_len=9, max_position_embeddings=32
    ), _lm,
)  # fmt: skip
_family(
    "FunnelForMaskedLM", "language, pooling",
    lambda t: t.FunnelConfig(
        vocab_size=50, block_sizes=[1, 1], num_decoder_layers=1, d_model=32, n_head=4, d_head=8, d_inner=48
    ), _lm,
)  # fmt: skip
_family(
    "XLNetLMHeadModel", "language, permuted",
    lambda t: t.XLNetConfig(vocab_size=50, d_model=32, n_layer=2, n_head=4, d_inner=48), _lm,
)  # fmt: skip
_family(
    "CanineForSequenceClassification", "language, characters",
    lambda t: t.CanineConfig(**CORE, num_hash_buckets=64, local_transformer_stride=8),
    lambda: {"input_ids": ids(2, 32), "labels": ids(2, high=2)},
)  # fmt: skip
_family(
    "PerceiverForMaskedLM", "language, latent attention",
    lambda t: t.PerceiverConfig(
        num_latents=6, d_latents=32, d_model=24, num_blocks=1, num_self_attends_per_block=2, qk_channels=32,
        num_self_attention_heads=4, num_cross_attention_heads=4, vocab_size=50, max_position_embeddings=9,
        v_channels=32,
    ), lambda: {"inputs": ids(2, 9), "labels": ids(2, 9)},
)  # fmt: skip

# -- further language models -----------------------------------------------------------------------------------------

_family(
    "EsmForMaskedLM", "proteins, encoder",
    lambda t: t.EsmConfig(**TEXT, pad_token_id=0, mask_token_id=3, position_embedding_type="rotary"), _lm,
)  # fmt: skip
_family(
    "DeepseekV3ForCausalLM", "language, mixture of experts",
    lambda t: t.DeepseekV3Config(
        **TEXT, num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1,
        moe_intermediate_size=16, first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8,
        v_head_dim=8, qk_nope_head_dim=8, n_shared_experts=1,
    ), _lm,
)  # fmt: skip
_family(
    "GptOssForCausalLM", "language, mixture of experts",
    lambda t: t.GptOssConfig(
        **TEXT, num_key_value_heads=2, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    ), _lm,
)  # fmt: skip
_family(
    "Gemma3ForCausalLM", "language, decoder",
    lambda t: t.Gemma3TextConfig(**TEXT, num_key_value_heads=2, head_dim=8, sliding_window=4), _lm,
)  # fmt: skip
_family(
    "GPTJForCausalLM", "language, decoder",
    lambda t: t.GPTJConfig(vocab_size=50, n_embd=32, n_layer=2, n_head=4, rotary_dim=4), _lm,
)  # fmt: skip
_family(
    "PegasusForConditionalGeneration", "language, encoder and decoder",
    lambda t: t.PegasusConfig(vocab_size=50, d_model=32, **SIDES), _lm,
)  # fmt: skip
_family(
    "ProphetNetForConditionalGeneration", "language, encoder and decoder",
    lambda t: t.ProphetNetConfig(
        vocab_size=50, hidden_size=32, num_encoder_layers=1, num_decoder_layers=1, num_encoder_attention_heads=4,
        num_decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, ngram=2,
    ), _lm,
)  # fmt: skip
_family(
    "LayoutLMForTokenClassification", "documents, encoder", lambda t: t.LayoutLMConfig(**TEXT),
    lambda: {"input_ids": ids(2, 9), "labels": ids(2, 9, high=2)},
)  # fmt: skip

# -- series and control ----------------------------------------------------------------------------------------------

_family(
    "TimeSeriesTransformerForPrediction", "series, encoder and decoder",
    lambda t: t.TimeSeriesTransformerConfig(**SERIES, **SIDES, d_model=16), _future,
)  # fmt: skip
_family(
    "AutoformerForPrediction", "series, autocorrelation",
    lambda t: t.AutoformerConfig(**SERIES, **SIDES, d_model=16, label_length=4), _future,
)  # fmt: skip
_family(
    "PatchTSTForPrediction", "series, attention",
    lambda t: t.PatchTSTConfig(**PATCHES, d_model=16, num_attention_heads=2, num_hidden_layers=1, ffn_dim=24), _patches,
)  # fmt: skip
_family(
    "PatchTSMixerForPrediction", "series, mixer",
    lambda t: t.PatchTSMixerConfig(**PATCHES, d_model=16, num_layers=2), _patches,
)  # fmt: skip


def _play() -> dict:
    import torch

    return {
        "states": noise(2, 4, 5), "actions": noise(2, 4, 3), "rewards": noise(2, 4, 1), "timesteps": ids(2, 4, high=20),
        "returns_to_go": noise(2, 4, 1), "attention_mask": torch.ones(2, 4),
    }  # fmt: skip


_family(
    "DecisionTransformerModel", "control, decoder",
    lambda t: t.DecisionTransformerConfig(state_dim=5, act_dim=3, hidden_size=32, n_layer=2, n_head=4, max_ep_len=20),
    _play,
)  # fmt: skip

# -- images, video and sound -----------------------------------------------------------------------------------------

_family(
    "Dinov2ForImageClassification", "vision, attention",
    lambda t: t.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    ), lambda: _image(labels=ids(2, high=2)),
)  # fmt: skip
_family(
    "BitForImageClassification", "vision, convolutional",
    lambda t: t.BitConfig(embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], num_groups=4),
    lambda: _image(2, 3, 64, 64, labels=ids(2, high=2)),
)  # fmt: skip
_family(
    "VideoMAEForVideoClassification", "video, attention",
    lambda t: t.VideoMAEConfig(**CORE, image_size=16, patch_size=8, num_frames=4),
    lambda: _image(2, 4, 3, 16, 16, labels=ids(2, high=2)),
)  # fmt: skip
_family(
    "DPTForDepthEstimation", "vision, depth",
    lambda t: t.DPTConfig(
        **{**CORE, "num_hidden_layers": 4}, image_size=32, patch_size=8, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
    ), _image,
)  # fmt: skip
_family(
    "DetrForObjectDetection", "vision, detection",
    lambda t: t.DetrConfig(**NO_BACKBONE, backbone_config=_resnet(t, "stage4"), d_model=16, **SIDES),
    lambda: _image(2, 3, 64, 64),
)  # fmt: skip


def _points() -> dict:
    import torch

    return _image(1, 3, 64, 64, input_points=torch.tensor([[[[10.0, 20.0]]]]))


_family(
    "SamModel", "vision, segmentation by points",
    lambda t: t.SamConfig(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64, "patch_size": 16,
            "output_channels": 16, "global_attn_indexes": [1], "window_size": 2, "mlp_dim": 48, "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "num_attention_heads": 2, "mlp_dim": 32, "iou_head_hidden_dim": 16,
            "num_hidden_layers": 2,
        },
    ), _points, slow=True,
)  # fmt: skip
_family(
    "SpeechT5ForTextToSpeech", "audio, speech synthesis",
    lambda t: t.SpeechT5Config(
        vocab_size=50, hidden_size=32, **SIDES, num_mel_bins=8, speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16, speaker_embedding_dim=8, use_guided_attention_loss=False,
    ), lambda: {"input_ids": ids(2, 9), "labels": noise(2, 8, 8), "speaker_embeddings": noise(2, 8)},
)  # fmt: skip

# -- images and language ---------------------------------------------------------------------------------------------

EYE = {**CORE, "image_size": 32, "patch_size": 8}
_family(
    "ViltForQuestionAnswering", "vision and language, encoder",
    lambda t: t.ViltConfig(**TEXT, image_size=32, patch_size=8, max_image_length=-1),
    lambda: _image(input_ids=ids(2, 9)),
)  # fmt: skip
_family(
    "BlipForConditionalGeneration", "vision and language, captions",
    lambda t: t.BlipConfig(
        text_config={**TEXT, "encoder_hidden_size": 32, "bos_token_id": 1, "sep_token_id": 2, "pad_token_id": 0},
        vision_config=EYE, projection_dim=16,
    ), lambda: _image(**_lm()), slow=True,
)  # fmt: skip
_family(
    "SiglipModel", "vision and language, contrastive",
    lambda t: t.SiglipConfig(text_config={**TEXT, "max_position_embeddings": 16}, vision_config=EYE),
    lambda: _image(input_ids=ids(2, 9), return_loss=True),
)  # fmt: skip


def _conversation() -> dict:
    import torch

    return _image(1, 3, 16, 16, input_ids=torch.tensor([[1, 49, 49, 49, 49, 5, 6]]), labels=ids(1, 7))


_family(
    "LlavaForConditionalGeneration", "vision and language, decoder",
    lambda t: t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**CORE, image_size=16, patch_size=8), text_config=t.LlamaConfig(**TEXT),
        image_token_id=49, vision_feature_layer=-1,
    ), _conversation,
)  # fmt: skip
