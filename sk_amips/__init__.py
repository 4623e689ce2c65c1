"""Learn maximum-inner-product search from your own query log."""

from ._sharded import ShardedArray
from .compression import DatabaseCompressor
from .estimators import KeyNetRegressor, SupportNetRegressor
from .exact import exact_search
from .index import AmortizedNeighbors
from .learnability import learnability_report
from .persistence import load
from .routing import CentroidRouter, LinearRouter, OptimisticRouter

__version__ = "0.1.0.dev0"

__all__ = [
    "AmortizedNeighbors",
    "CentroidRouter",
    "DatabaseCompressor",
    "KeyNetRegressor",
    "LinearRouter",
    "OptimisticRouter",
    "ShardedArray",
    "SupportNetRegressor",
    "exact_search",
    "learnability_report",
    "load",
]
