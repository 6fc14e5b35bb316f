"""Owns ``torch.autograd.anomaly_mode``, another home of the anomaly modes; re-exports only.

May import the tape's modes.
"""

from .._graph.modes import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
