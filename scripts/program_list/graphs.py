"""Owns the graph networks on the list of public programs.

May import the list; every builder imports the package it shows, when it runs.
"""

from __future__ import annotations

from typing import Any

from . import noise, program

NODES = 12


def _edges(seed: int = 0, count: int = 40) -> Any:
    import numpy as np
    import torch

    return torch.tensor(np.random.RandomState(seed).randint(0, NODES, (2, count)))


def _model(name: str, **options: Any) -> None:
    def build() -> tuple:
        from torch_geometric.nn import models

        return getattr(models, name)(6, 16, 2, 4, **options), (noise(NODES, 6), _edges())

    program("torch_geometric", name, "graphs, messages")(build)


_model("GCN", dropout=0.1)
_model("GraphSAGE", jk="cat")
_model("GIN", norm="BatchNorm")
_model("GAT", heads=2, v2=True)
_model("EdgeCNN")


def _layer(name: str, kind: str, sizes: tuple, options: dict[str, Any], extra: Any = tuple) -> None:
    def build() -> tuple:
        from torch_geometric import nn

        return getattr(nn, name)(*sizes, **options), (noise(NODES, 6), _edges(), *extra())

    program("torch_geometric", name, kind)(build)


def _weights() -> tuple:
    return (noise(40, seed=2).abs(),)


def _features() -> tuple:
    return (noise(40, 3, seed=2),)


def _kinds() -> tuple:
    return ((noise(40, seed=2) > 0).long(),)


_layer("ChebConv", "graphs, spectral", (6, 4), {"K": 3})
_layer("TransformerConv", "graphs, attention", (6, 4), {"heads": 2, "beta": True})
_layer("GENConv", "graphs, messages", (6, 4), {"learn_t": True})
_layer("GatedGraphConv", "graphs, recurrent", (6, 3), {})
_layer("RGCNConv", "graphs, relations", (6, 4), {"num_relations": 2, "num_bases": 2}, _kinds)
_layer("ARMAConv", "graphs, spectral", (6, 4), {"num_stacks": 2, "num_layers": 2}, _weights)


@program("torch_geometric", "SchNet", "molecules")
def _() -> tuple:
    import torch
    from torch_geometric.nn import SchNet

    def pairs(position: Any, molecule: Any) -> tuple:
        near = (molecule[:, None] == molecule) & ~torch.eye(len(molecule), dtype=torch.bool)
        edges = near.nonzero().t()
        return edges, (position[edges[0]] - position[edges[1]]).norm(dim=-1)

    atoms = torch.tensor([6, 1, 1, 8, 1, 6, 1, 1])
    place = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    model = SchNet(hidden_channels=16, num_filters=16, num_interactions=2, num_gaussians=10, interaction_graph=pairs)
    return model, (atoms, noise(8, 3), place)


@program("torch_geometric", "AttentiveFP", "molecules, attention, recurrent")
def _() -> tuple:
    import torch
    from torch_geometric.nn import AttentiveFP

    model = AttentiveFP(6, 8, 2, edge_dim=3, num_layers=2, num_timesteps=2, dropout=0.1)
    return model, (noise(NODES, 6), _edges(), *_features(), torch.tensor([0] * 7 + [1] * 5))


@program("torch_geometric", "PNA", "graphs, messages")
def _() -> tuple:
    import torch
    from torch_geometric.nn import PNA

    ways: dict[str, Any] = {"aggregators": ["mean", "min", "max", "std"], "scalers": ["identity", "amplification"]}
    return PNA(6, 8, 2, 4, deg=torch.tensor([0, 1, 3, 5, 3]), **ways), (noise(NODES, 6), _edges())


@program("torch_geometric", "NNConv", "graphs, messages")
def _() -> tuple:
    import torch
    from torch_geometric.nn import NNConv

    return NNConv(6, 4, torch.nn.Linear(3, 24)), (noise(NODES, 6), _edges(), *_features())


@program("torch_geometric", "TopKPooling", "graphs, pooling", loss=lambda out: out[0].square().mean())
def _() -> tuple:
    from torch_geometric.nn import TopKPooling

    return TopKPooling(6, ratio=0.5), (noise(NODES, 6), _edges())


@program("torch_geometric", "PointNet", "points, messages")
def _() -> tuple:
    import torch
    from torch_geometric.nn import PointNetConv

    local, whole = torch.nn.Linear(9, 16), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(16, 4))
    return PointNetConv(local, whole), (noise(NODES, 6), noise(NODES, 3, seed=1), _edges())
