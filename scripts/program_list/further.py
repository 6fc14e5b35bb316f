"""Owns further packages on the list of public programs: quantizers, differential equations, tables, flows, molecules.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import ids, noise, program


def _first(out: Any) -> Any:
    return out[0].square().mean()


def _quantizer(name: str, loss: Any, **options: Any) -> None:
    def build() -> tuple:
        import torch
        import vector_quantize_pytorch

        quantizer = getattr(vector_quantize_pytorch, name)(dim=16, **options)
        return _Quantized(torch, quantizer), noise(2, 9, 16)

    program("vector-quantize-pytorch", name, "any input, quantized", loss=loss)(build)


def _Quantized(torch: Any, quantizer: Any) -> Any:
    class Quantized(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.quantizer, self.after = torch.nn.Linear(16, 16), quantizer, torch.nn.Linear(16, 4)

        def forward(self, x: Any) -> tuple:
            out = self.quantizer(self.before(x))
            return self.after(out[0]), *out[1:]

    return Quantized()


_quantizer("VectorQuantize", lambda out: _first(out) + out[2].sum(), codebook_size=16, decay=0.8)
_quantizer("ResidualVQ", lambda out: _first(out) + out[2].sum(), codebook_size=16, num_quantizers=2)
_quantizer("FSQ", _first, levels=[5, 4, 3])


@program("ncps", "CfC", "sequences, recurrent", loss=_first)
def _() -> tuple:
    from ncps.torch import CfC
    from ncps.wirings import AutoNCP

    return CfC(6, AutoNCP(12, 3)), noise(2, 7, 6)


@program("ncps", "LTC", "sequences, recurrent", loss=_first)
def _() -> tuple:
    from ncps.torch import LTC
    from ncps.wirings import AutoNCP

    return LTC(6, AutoNCP(12, 3), ode_unfolds=3), noise(2, 5, 6)


def _table(name: str, **options: Any) -> None:
    def build() -> tuple:
        import rtdl_revisiting_models

        kind = getattr(rtdl_revisiting_models, name)
        if name == "FTTransformer":
            return kind(n_cont_features=5, cat_cardinalities=[3, 4], d_out=2, **options), (
                noise(6, 5), ids(6, 2, high=3) - 1,
            )  # fmt: skip
        return kind(d_in=5, d_out=2, **options), noise(6, 5)

    program("rtdl_revisiting_models", name, "tables", optimizer="AdamW")(build)


_table("MLP", n_blocks=2, d_block=16, dropout=0.1)
_table("ResNet", n_blocks=2, d_block=16, d_hidden=None, d_hidden_multiplier=2.0, dropout1=0.1, dropout2=0.1)
_table(
    "FTTransformer", n_blocks=2, d_block=16, attention_n_heads=4, attention_dropout=0.1, ffn_d_hidden=None,
    ffn_d_hidden_multiplier=2.0, ffn_dropout=0.1, residual_dropout=0.1, _is_default=False,
)  # fmt: skip


@program("torchdiffeq", "odeint", "differential equations", loss=lambda out: out.square().mean())
def _() -> tuple:
    return _equation("odeint"), noise(4, 3)


@program("torchdiffeq", "odeint_adjoint", "differential equations", loss=lambda out: out.square().mean())
def _() -> tuple:
    return _equation("odeint_adjoint"), noise(4, 3)


def _equation(solver: str) -> Any:
    import torch
    import torchdiffeq

    class Flow(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

        def forward(self, t: Any, y: Any) -> Any:
            return self.net(y) - t * y

    class Solved(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flow = Flow()

        def forward(self, x: Any) -> Any:
            return getattr(torchdiffeq, solver)(self.flow, x, torch.linspace(0, 1, 3), rtol=1e-4, atol=1e-5)

    return Solved()


@program("normflows", "NormalizingFlow", "densities, flow", loss=lambda loss: loss)
def _() -> tuple:
    import normflows as nf

    flows = []
    for _ in range(3):
        flows += [nf.flows.AffineCouplingBlock(nf.nets.MLP([2, 8, 2 * 2], init_zeros=True)), nf.flows.Permute(4)]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(4), flows)
    model.forward = model.forward_kld
    return model, noise(6, 4)


@program("egnn-pytorch", "EGNN", "molecules, messages", loss=_first)
def _() -> tuple:
    from egnn_pytorch import EGNN

    return EGNN(dim=8, edge_dim=3, m_dim=8), (noise(1, 6, 8), noise(1, 6, 3, seed=1), noise(1, 6, 6, 3, seed=2))


@program(
    "performer-pytorch", "PerformerLM", "language, linear attention", values=1e-5,
    note="initial values to 0.00001: rows that a QR decomposition makes orthogonal",
)  # fmt: skip
def _() -> tuple:
    from performer_pytorch import PerformerLM

    sizes: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 4, "dim_head": 8, "nb_features": 8}
    return PerformerLM(num_tokens=50, max_seq_len=16, **sizes), ids(2, 16)


@program("pytorch-tabnet", "TabNet", "tables, attention", loss=_first)
def _() -> tuple:
    import torch
    from pytorch_tabnet.tab_network import TabNet

    model = TabNet(5, 2, n_d=4, n_a=4, n_steps=2, virtual_batch_size=8, group_attention_matrix=torch.eye(5))
    return model, noise(8, 5)


@program("kornia", "HardNet", "vision, descriptors", double=True)
def _() -> tuple:
    from kornia.feature import HardNet

    # The last layer normalises over the batch alone: over two values that is their sign.
    return HardNet(pretrained=False), noise(8, 1, 32, 32)


@program("gpytorch", "ExactGP", "densities, Gaussian process", loss=lambda loss: loss)
def _() -> tuple:
    import gpytorch
    import torch

    x, y = torch.linspace(0, 1, 12), torch.linspace(0, 6, 12).sin()

    class Process(gpytorch.models.ExactGP):
        def __init__(self) -> None:
            super().__init__(x, y, gpytorch.likelihoods.GaussianLikelihood())
            self.mean_module = gpytorch.means.ConstantMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

        def forward(self, x: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    class Likelihood(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.process = Process()

        def forward(self, x: Any) -> Any:
            self.process.train()
            marginal = gpytorch.mlls.ExactMarginalLogLikelihood(self.process.likelihood, self.process)
            return -marginal(self.process(x), y)

    return Likelihood(), x
