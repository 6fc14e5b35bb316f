"""Owns the audio and sequence models on the list of public programs: encoders, codecs, recurrent and temporal ones.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import LAYOUT, ids, noise, program

POSITIONS = "initial values to 0.0001: sines of positions up to 2500 times powers, which the two round differently"
SHARED: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 20,
    "mask_time_prob": 0.0,
}


@program("transformers", "WhisperForConditionalGeneration", "audio, encoder and decoder")
def _() -> tuple:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=50, num_mel_bins=8, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_source_positions=16, pad_token_id=0,
        max_target_positions=16, decoder_start_token_id=1, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return WhisperForConditionalGeneration(config), {"input_features": noise(2, 8, 32), "labels": ids(2, 7)}


@program("transformers", "Wav2Vec2ForCTC", "audio, encoder")
def _() -> tuple:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    inputs = {"input_values": noise(2, 400), "labels": ids(2, 6, high=19)}
    return Wav2Vec2ForCTC(Wav2Vec2Config(**SHARED)), inputs


@program("transformers", "HubertForSequenceClassification", "audio, encoder")
def _() -> tuple:
    from transformers import HubertConfig, HubertForSequenceClassification

    inputs = {"input_values": noise(2, 400), "labels": ids(2, high=2)}
    return HubertForSequenceClassification(HubertConfig(**SHARED)), inputs


@program("transformers", "ASTForAudioClassification", "audio, encoder")
def _() -> tuple:
    from transformers import ASTConfig, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, patch_size=4,
        frequency_stride=4, time_stride=4, max_length=24, num_mel_bins=16,
    )  # fmt: skip
    return ASTForAudioClassification(config), {"input_values": noise(2, 24, 16), "labels": ids(2, high=2)}


@program("transformers", "EncodecModel", "audio, codec", loss=lambda out: out.audio_values.square().mean())
def _() -> tuple:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(num_filters=4, hidden_size=16, codebook_size=16, codebook_dim=16, upsampling_ratios=[4, 2])
    return EncodecModel(config), noise(2, 1, 400)


@program(
    "transformers", "VitsModel", "audio, speech synthesis", slow=True, loss=lambda out: out.waveform.square().mean()
)
def _() -> tuple:
    from transformers import VitsConfig, VitsModel

    config = VitsConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, ffn_dim=24, flow_size=16, spectrogram_bins=9,
        upsample_initial_channel=16, upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], prior_encoder_num_flows=2,
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]], duration_predictor_filter_channels=16,
        posterior_encoder_num_wavenet_layers=2, prior_encoder_num_wavenet_layers=2, depth_separable_num_layers=2,
        use_stochastic_duration_prediction=False,
    )  # fmt: skip
    return VitsModel(config), {"input_ids": ids(1, 9)}


@program("encodec", "SEANetEncoder", "audio, convolutional, recurrent")
def _() -> tuple:
    from encodec.modules import SEANetEncoder

    return SEANetEncoder(dimension=16, n_filters=4, ratios=[4, 2], lstm=1), noise(2, 1, 200)


@program("encodec", "SEANetDecoder", "audio, convolutional, recurrent")
def _() -> tuple:
    from encodec.modules import SEANetDecoder

    return SEANetDecoder(dimension=16, n_filters=4, ratios=[4, 2], lstm=1), noise(2, 16, 25)


@program("encodec", "EncodecModel", "audio, codec")
def _() -> tuple:
    from encodec import EncodecModel
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer

    sizes: dict[str, Any] = {"dimension": 16, "n_filters": 4, "ratios": [4, 2], "norm": "weight_norm", "causal": True}
    quantizer = ResidualVectorQuantizer(dimension=16, n_q=2, bins=16, kmeans_init=False)
    model = EncodecModel(SEANetEncoder(**sizes), SEANetDecoder(**sizes), quantizer, [6.0], 8000, 1)
    return model, noise(2, 1, 200)


@program("pytorch-tcn", "TCN", "sequences, temporal convolution", optimizer="AdamW")
def _() -> tuple:
    from pytorch_tcn import TCN

    return TCN(num_inputs=6, num_channels=[8, 8, 12], kernel_size=3, use_skip_connections=True), noise(2, 6, 24)


@program("pytorch-tcn", "TCN-gated", "sequences, temporal convolution", note=LAYOUT)
def _() -> tuple:
    from pytorch_tcn import TCN

    options = {"causal": False, "use_gate": True, "activation": "gelu", "use_norm": "layer_norm", "dropout": 0.0}
    return TCN(num_inputs=6, num_channels=[8, 8], kernel_size=3, **options), noise(2, 6, 24)


@program("speechbrain", "ECAPA_TDNN", "audio, convolutional")
def _() -> tuple:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    model = ECAPA_TDNN(
        8, lin_neurons=16, channels=[16, 16, 16, 16, 48], attention_channels=8, res2net_scale=4, se_channels=8
    )
    return model, noise(2, 40, 8)


@program("speechbrain", "CRDNN", "audio, convolutional, recurrent", note=LAYOUT)
def _() -> tuple:
    from speechbrain.lobes.models.CRDNN import CRDNN

    model = CRDNN(
        input_shape=[2, 20, 16], cnn_blocks=1, cnn_channels=(4,), rnn_layers=1, rnn_neurons=8, dnn_blocks=1,
        dnn_neurons=8, rnn_bidirectional=True, dropout=0.0,
    )  # fmt: skip
    return model, noise(2, 20, 16)


@program("speechbrain", "TransformerASR", "audio, encoder and decoder", values=1e-4, note=POSITIONS)
def _() -> tuple:
    from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR

    model = TransformerASR(
        tgt_vocab=20, input_size=16, d_model=32, nhead=4, num_encoder_layers=1, num_decoder_layers=1, d_ffn=48
    )
    return model, (noise(2, 12, 16), ids(2, 5, high=20))


@program("speechbrain", "Xvector", "audio, convolutional")
def _() -> tuple:
    from speechbrain.lobes.models.Xvector import Xvector

    model = Xvector(
        in_channels=8, tdnn_blocks=3, tdnn_channels=[16, 16, 24], tdnn_kernel_sizes=[5, 3, 1], tdnn_dilations=[1, 2, 1],
        lin_neurons=16,
    )  # fmt: skip
    return model, noise(2, 40, 8)


@program("speechbrain", "LiGRU", "audio, recurrent")
def _() -> tuple:
    from speechbrain.nnet.RNN import LiGRU

    return LiGRU(hidden_size=8, input_shape=[2, 12, 6], num_layers=2, bidirectional=True), noise(2, 12, 6)
