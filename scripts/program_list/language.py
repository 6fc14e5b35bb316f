"""Owns the language models on the list of public programs: encoders, decoders, both, recurrent and state-space.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import ids, noise, program

SMALL: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
FEED = {**SMALL, "intermediate_size": 48}


def _lm(*shape: int) -> dict[str, Any]:
    tokens = ids(*(shape or (2, 9)))
    return {"input_ids": tokens, "labels": tokens}


@program("transformers", "BertForMaskedLM", "language, encoder", optimizer="AdamW")
def _() -> tuple:
    from transformers import BertConfig, BertForMaskedLM

    mask = ids(2, 9, high=3, seed=2) // 2
    return BertForMaskedLM(BertConfig(**FEED)), {**_lm(), "attention_mask": 1 - mask}


@program("transformers", "DistilBertForSequenceClassification", "language, encoder")
def _() -> tuple:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=50, dim=32, n_layers=2, n_heads=4, hidden_dim=48, num_labels=3)
    return DistilBertForSequenceClassification(config), {"input_ids": ids(2, 9), "labels": ids(2, high=3)}


@program("transformers", "AlbertForTokenClassification", "language, encoder", optimizer="AdamW")
def _() -> tuple:
    from transformers import AlbertConfig, AlbertForTokenClassification

    config = AlbertConfig(**FEED, embedding_size=16, num_labels=3)
    return AlbertForTokenClassification(config), {"input_ids": ids(2, 9), "labels": ids(2, 9, high=3)}


@program("transformers", "RobertaForQuestionAnswering", "language, encoder")
def _() -> tuple:
    from transformers import RobertaConfig, RobertaForQuestionAnswering

    inputs = {"input_ids": ids(2, 9), "start_positions": ids(2, high=8), "end_positions": ids(2, high=8, seed=1)}
    return RobertaForQuestionAnswering(RobertaConfig(**FEED)), inputs


@program("transformers", "ElectraForPreTraining", "language, encoder")
def _() -> tuple:
    from transformers import ElectraConfig, ElectraForPreTraining

    model = ElectraForPreTraining(ElectraConfig(**FEED, embedding_size=16))
    return model, {"input_ids": ids(2, 9), "labels": ids(2, 9, high=3, seed=4) - 1}


@program("transformers", "DebertaV2ForMaskedLM", "language, encoder")
def _() -> tuple:
    from transformers import DebertaV2Config, DebertaV2ForMaskedLM

    config = DebertaV2Config(**FEED, relative_attention=True, pos_att_type="p2c|c2p", position_buckets=4)
    return DebertaV2ForMaskedLM(config), _lm()


@program("transformers", "ModernBertForMaskedLM", "language, encoder")
def _() -> tuple:
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(**FEED, pad_token_id=0, local_attention=4, cls_token_id=1, sep_token_id=2)
    return ModernBertForMaskedLM(config), _lm()


@program("transformers", "GPT2LMHeadModel", "language, decoder", optimizer="AdamW")
def _() -> tuple:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=16)), _lm()


@program("transformers", "GPTNeoXForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(**FEED)), _lm()


@program("transformers", "OPTForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import OPTConfig, OPTForCausalLM

    return OPTForCausalLM(OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=16)), _lm()


@program("transformers", "BloomForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4)), _lm()


@program("transformers", "LlamaForCausalLM", "language, decoder", optimizer="AdamW")
def _() -> tuple:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**FEED, num_key_value_heads=2)), _lm()


@program("transformers", "MistralForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**FEED, num_key_value_heads=2, sliding_window=4)), _lm()


@program("transformers", "MixtralForCausalLM", "language, mixture of experts")
def _() -> tuple:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(**FEED, num_key_value_heads=2, num_local_experts=4, output_router_logits=True)
    return MixtralForCausalLM(config), _lm()


@program("transformers", "Qwen2ForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**FEED, num_key_value_heads=2)), _lm()


@program("transformers", "Gemma2ForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(**FEED, num_key_value_heads=2, head_dim=8, sliding_window=4)
    return Gemma2ForCausalLM(config), _lm()


@program("transformers", "PhiForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import PhiConfig, PhiForCausalLM

    return PhiForCausalLM(PhiConfig(**FEED)), _lm()


@program("transformers", "FalconForCausalLM", "language, decoder")
def _() -> tuple:
    from transformers import FalconConfig, FalconForCausalLM

    return FalconForCausalLM(FalconConfig(**SMALL)), _lm()


@program("transformers", "T5ForConditionalGeneration", "language, encoder and decoder")
def _() -> tuple:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0)
    return T5ForConditionalGeneration(config), _lm()


@program("transformers", "BartForConditionalGeneration", "language, encoder and decoder", optimizer="AdamW")
def _() -> tuple:
    from transformers import BartConfig, BartForConditionalGeneration

    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in
              (("layers", 2), ("attention_heads", 4), ("ffn_dim", 48))}  # fmt: skip
    return BartForConditionalGeneration(BartConfig(vocab_size=50, d_model=32, **layers)), _lm()


@program("transformers", "MambaForCausalLM", "language, state-space")
def _() -> tuple:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=8)
    return MambaForCausalLM(config), _lm()


@program("transformers", "Mamba2ForCausalLM", "language, state-space")
def _() -> tuple:
    from transformers import Mamba2Config, Mamba2ForCausalLM

    config = Mamba2Config(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, chunk_size=4
    )
    return Mamba2ForCausalLM(config), _lm()


@program("transformers", "RwkvForCausalLM", "language, recurrent")
def _() -> tuple:
    from transformers import RwkvConfig, RwkvForCausalLM

    config = RwkvConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32)
    return RwkvForCausalLM(config), _lm()


@program("transformers", "FNetForMaskedLM", "language, encoder, Fourier")
def _() -> tuple:
    from transformers import FNetConfig, FNetForMaskedLM

    config = FNetConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, intermediate_size=48)
    return FNetForMaskedLM(config), _lm()


@program("x-transformers", "TransformerWrapper-Decoder", "language, decoder")
def _() -> tuple:
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=4, rotary_pos_emb=True, ff_glu=True, use_rmsnorm=True)
    return TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers), ids(2, 9)


@program("x-transformers", "TransformerWrapper-Encoder", "language, encoder")
def _() -> tuple:
    from x_transformers import Encoder, TransformerWrapper

    layers = Encoder(dim=32, depth=2, heads=4, alibi_pos_bias=True, attn_pre_talking_heads=True)
    return TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers), ids(2, 9)


@program("x-transformers", "AutoregressiveWrapper", "language, decoder", loss=lambda loss: loss, optimizer="AdamW")
def _() -> tuple:
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=4, attn_kv_heads=2, attn_qk_norm=True, shift_tokens=1)
    return AutoregressiveWrapper(TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers)), ids(2, 9)


@program("x-transformers", "XTransformer", "language, encoder and decoder", loss=lambda loss: loss)
def _() -> tuple:
    from x_transformers import XTransformer

    options = {f"{side}_{what}": n for side in ("enc", "dec") for what, n in
               (("num_tokens", 50), ("depth", 1), ("heads", 4), ("max_seq_len", 16))}  # fmt: skip
    return XTransformer(dim=32, **options), (ids(2, 9), ids(2, 8, seed=1))


@program("x-transformers", "ContinuousTransformerWrapper", "sequences, encoder")
def _() -> tuple:
    from x_transformers import ContinuousTransformerWrapper, Encoder

    layers = Encoder(dim=32, depth=2, heads=4, use_scalenorm=True, macaron=True)
    return ContinuousTransformerWrapper(dim_in=6, dim_out=5, max_seq_len=16, attn_layers=layers), noise(2, 9, 6)
