"""Owns ``torch._higher_order_ops``: operators that take functions.

May import the files below.
"""

from .associative_scan import associative_scan as associative_scan
