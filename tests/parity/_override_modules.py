"""Owns modules whose calls of public functions are compared, with their arguments, as text.

May import neither rushlight nor torch: the library is an argument.
"""

# How to make each module, and what it is called with.
MODULES = {
    "ReLU": ("nn.ReLU()", "x"),
    "ReLU6": ("nn.ReLU6()", "x"),
    "GELU": ("nn.GELU()", "x"),
    "SiLU": ("nn.SiLU()", "x"),
    "Sigmoid": ("nn.Sigmoid()", "x"),
    "Tanh": ("nn.Tanh()", "x"),
    "ELU": ("nn.ELU()", "x"),
    "CELU": ("nn.CELU()", "x"),
    "SELU": ("nn.SELU()", "x"),
    "LeakyReLU": ("nn.LeakyReLU()", "x"),
    "Hardtanh": ("nn.Hardtanh()", "x"),
    "Hardswish": ("nn.Hardswish()", "x"),
    "Hardsigmoid": ("nn.Hardsigmoid()", "x"),
    "Mish": ("nn.Mish()", "x"),
    "Softplus": ("nn.Softplus()", "x"),
    "Softsign": ("nn.Softsign()", "x"),
    "Tanhshrink": ("nn.Tanhshrink()", "x"),
    "Hardshrink": ("nn.Hardshrink()", "x"),
    "Softshrink": ("nn.Softshrink()", "x"),
    "LogSigmoid": ("nn.LogSigmoid()", "x"),
    "Identity": ("nn.Identity()", "x"),
    "Dropout": ("nn.Dropout()", "x"),
    "AlphaDropout": ("nn.AlphaDropout()", "x"),
    "Flatten": ("nn.Flatten()", "x"),
    "RReLU": ("nn.RReLU()", "x"),
    "PReLU": ("nn.PReLU()", "x"),
    "Softmax": ("nn.Softmax(-1)", "x"),
    "LogSoftmax": ("nn.LogSoftmax(-1)", "x"),
    "Softmin": ("nn.Softmin(-1)", "x"),
    "GLU": ("nn.GLU()", "x"),
    "Threshold": ("nn.Threshold(0.,1.)", "x"),
    "Linear": ("nn.Linear(4,3)", "x"),
    "Bilinear": ("nn.Bilinear(4,4,2)", "x,x"),
    "Embedding": ("nn.Embedding(5,4)", "x.long()"),
    "EmbeddingBag": ("nn.EmbeddingBag(5,4)", "x.long()"),
    "Conv1d": ("nn.Conv1d(3,2,1)", "sq"),
    "Conv2d": ("nn.Conv2d(4,2,3)", "im"),
    "Conv2d2": ("nn.Conv2d(4,2,3,padding=1,padding_mode='reflect')", "im"),
    "Conv3d": ("nn.Conv3d(2,2,1)", "vol"),
    "ConvTranspose2d": ("nn.ConvTranspose2d(4,2,2)", "im"),
    "BatchNorm1d": ("nn.BatchNorm1d(4)", "x"),
    "BatchNorm2d": ("nn.BatchNorm2d(4)", "im"),
    "BatchNorm2d2": ("nn.BatchNorm2d(4).eval()", "im"),
    "BatchNorm3d": ("nn.BatchNorm3d(2)", "vol"),
    "LayerNorm": ("nn.LayerNorm(4)", "x"),
    "GroupNorm": ("nn.GroupNorm(2,4)", "im"),
    "InstanceNorm2d": ("nn.InstanceNorm2d(4)", "im"),
    "RMSNorm": ("nn.RMSNorm(4)", "x"),
    "LocalResponseNorm": ("nn.LocalResponseNorm(2)", "im"),
    "MaxPool2d": ("nn.MaxPool2d(2)", "im"),
    "MaxPool1d": ("nn.MaxPool1d(2)", "sq"),
    "AvgPool2d": ("nn.AvgPool2d(2)", "im"),
    "AdaptiveAvgPool2d": ("nn.AdaptiveAvgPool2d(1)", "im"),
    "AdaptiveMaxPool2d": ("nn.AdaptiveMaxPool2d(1)", "im"),
    "LPPool2d": ("nn.LPPool2d(2,2)", "im"),
    "FractionalMaxPool2d": ("nn.FractionalMaxPool2d(2,output_size=3)", "im"),
    "Upsample": ("nn.Upsample(scale_factor=2)", "im"),
    "PixelShuffle": ("nn.PixelShuffle(2)", "im"),
    "ZeroPad2d": ("nn.ZeroPad2d(1)", "im"),
    "ReflectionPad2d": ("nn.ReflectionPad2d(1)", "im"),
    "Unfold": ("nn.Unfold(2)", "im"),
    "Fold": ("nn.Fold((8,8),2)", "t.ones(1,4,49)"),
    "Unflatten": ("nn.Unflatten(1,(2,2))", "x"),
    "Dropout2d": ("nn.Dropout2d()", "im"),
    "ChannelShuffle": ("nn.ChannelShuffle(2)", "im"),
    "RNN": ("nn.RNN(4,2)", "sq"),
    "LSTM": ("nn.LSTM(4,2)", "sq"),
    "GRU": ("nn.GRU(4,2)", "sq"),
    "RNNCell": ("nn.RNNCell(4,2)", "x"),
    "LSTMCell": ("nn.LSTMCell(4,2)", "x"),
    "GRUCell": ("nn.GRUCell(4,2)", "x"),
    "LSTM2": ("nn.LSTM(4,2,batch_first=True,bidirectional=True)", "sq"),
    "MultiheadAttention": ("nn.MultiheadAttention(4,2)", "sq,sq,sq"),
    "MultiheadAttention2": ("nn.MultiheadAttention(4,2,batch_first=True)", "sq,sq,sq"),
    "TransformerEncoderLayer": ("nn.TransformerEncoderLayer(4,2)", "sq"),
    "TransformerEncoderLayer2": ("nn.TransformerEncoderLayer(4,2,batch_first=True,norm_first=True)", "sq"),
    "TransformerEncoder": ("nn.TransformerEncoder(nn.TransformerEncoderLayer(4,2,batch_first=True),2)", "sq"),
    "TransformerDecoderLayer": ("nn.TransformerDecoderLayer(4,2)", "sq,sq"),
    "Transformer": ("nn.Transformer(4,2,1,1,8)", "sq,sq"),
    "MSELoss": ("nn.MSELoss()", "x,x"),
    "CrossEntropyLoss": ("nn.CrossEntropyLoss()", "x,x"),
    "L1Loss": ("nn.L1Loss()", "x,x"),
    "BCELoss": ("nn.BCELoss()", "x,x"),
    "BCEWithLogitsLoss": ("nn.BCEWithLogitsLoss()", "x,x"),
    "NLLLoss": ("nn.NLLLoss()", "x,t.zeros(2).long()"),
    "KLDivLoss": ("nn.KLDivLoss()", "x,x"),
    "SmoothL1Loss": ("nn.SmoothL1Loss()", "x,x"),
    "HuberLoss": ("nn.HuberLoss()", "x,x"),
    "TripletMarginLoss": ("nn.TripletMarginLoss()", "x,x,x"),
    "CosineEmbeddingLoss": ("nn.CosineEmbeddingLoss()", "x,x,t.ones(2)"),
    "CTCLoss": ("nn.CTCLoss()", "t.ones(5,1,4).log_softmax(-1),t.ones(1,2).long(),t.tensor([5]),t.tensor([2])"),
    "MultiLabelMarginLoss": ("nn.MultiLabelMarginLoss()", "x,x.long()"),
    "MultiMarginLoss": ("nn.MultiMarginLoss()", "x,t.ones(2).long()"),
    "HingeEmbeddingLoss": ("nn.HingeEmbeddingLoss()", "x,x"),
    "PoissonNLLLoss": ("nn.PoissonNLLLoss()", "x,x"),
    "GaussianNLLLoss": ("nn.GaussianNLLLoss()", "x,x,x"),
    "MarginRankingLoss": ("nn.MarginRankingLoss()", "x,x,x"),
    "SoftMarginLoss": ("nn.SoftMarginLoss()", "x,x"),
    "MultiLabelSoftMarginLoss": ("nn.MultiLabelSoftMarginLoss()", "x,x"),
    "TripletMarginWithDistanceLoss": ("nn.TripletMarginWithDistanceLoss()", "x,x,x"),
    "AdaptiveLogSoftmaxWithLoss": ("nn.AdaptiveLogSoftmaxWithLoss(4,5,[2])", "x,t.zeros(2).long()"),
    "PairwiseDistance": ("nn.PairwiseDistance()", "x,x"),
    "CosineSimilarity": ("nn.CosineSimilarity()", "x,x"),
    "weight_norm": ("t.nn.utils.parametrizations.weight_norm(nn.Linear(4,3))", "x"),
    "spectral_norm": ("t.nn.utils.parametrizations.spectral_norm(nn.Linear(4,3))", "x"),
}


def seen_by_a_mode(t, name):
    """The functions that a mode sees while a module runs.

    Args:
        t: the library.
        name: of the module.
    """
    seen = []

    class Noting(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            # Which functions there are to switch recording off, and who asks for sizes, differs.
            if func.__name__ not in ("__get__", "dim", "size", "_set_grad_enabled", "is_contiguous"):
                seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    scope = {
        "t": t, "nn": t.nn, "x": t.ones(2, 4), "im": t.ones(2, 4, 8, 8), "sq": t.ones(2, 3, 4), "vol": t.ones(1, 2, 4, 4, 4),
    }  # fmt: skip
    make, arguments = MODULES[name]
    t.manual_seed(0)
    module, arguments = eval(make, scope), eval(f"({arguments},)", scope)
    with Noting():
        module(*arguments)
    return seen
