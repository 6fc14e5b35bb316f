"""Owns how safetensors files note that several names are one tensor: text from each further name to the one that stays.

May import nothing; it is the convention of ``safetensors.torch.save_model``, with the name read back as a tie.
"""

from __future__ import annotations

from collections.abc import Container, Mapping


def to_restore(held: Container[str], text: Mapping[str, str]) -> dict[str, str]:
    """The names to bring back, each with the name of the tensor that it shares.

    Args:
        held: the names whose tensors are there.
        text: a file's metadata.

    Example:
        >>> to_restore({"embed.weight"}, {"format": "pt", "head.weight": "embed.weight"})
        {'head.weight': 'embed.weight'}
    """
    return {tied: kept for tied, kept in text.items() if tied not in held and kept in held}


def without(names: Container[str], text: Mapping[str, str]) -> dict[str, str]:
    """The metadata that is no tie between these names."""
    return {key: value for key, value in text.items() if not (key in names and value in names)}
