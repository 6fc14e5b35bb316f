"""Owns the older folder of ``fully_shard``; re-exports only.

May import the file below.
"""

from .fsdp import fully_shard as fully_shard
