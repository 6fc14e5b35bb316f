"""The version of rushlight and of the torch interface it answers to; imports nothing."""

__version__ = "0.1.0"
TORCH_VERSION = "2.13.0"
