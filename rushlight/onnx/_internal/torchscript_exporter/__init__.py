"""Owns the folder of PyTorch's exporter by symbolic functions; holds the registry alone.

Imports nothing.
"""
