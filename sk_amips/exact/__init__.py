"""Exact maximum-inner-product search, blocked."""

from ._per_partition import partition_search
from ._probe import probe_search
from ._search import exact_search

__all__ = ["exact_search", "partition_search", "probe_search"]
