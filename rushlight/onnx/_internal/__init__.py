"""Owns the folder under which PyTorch keeps its exporters; holds the registry alone.

Imports nothing.
"""
