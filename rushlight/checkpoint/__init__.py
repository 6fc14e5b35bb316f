"""Owns reading and writing checkpoints in torch's formats, without torch; see ``serialization.py``.

May import this folder.
"""

from .allowlist import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from .inert import InertTensor
from .safetensors_files import load_file, save_file
from .serialization import DEFAULT_PROTOCOL, get_unsafe_globals_in_checkpoint, load, save
from .shards import save_sharded
from .stub import Stub
from .stub_state import state_dict_of

__all__ = [
    "DEFAULT_PROTOCOL",
    "InertTensor",
    "Stub",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "load_file",
    "safe_globals",
    "save",
    "save_file",
    "save_sharded",
    "state_dict_of",
]
