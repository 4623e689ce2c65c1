"""Routers: which lists of keys a query should visit."""

from ._base import BaseRouter
from ._centroid import CentroidRouter
from ._linear import LinearRouter
from ._optimistic import OptimisticRouter

__all__ = ["BaseRouter", "CentroidRouter", "LinearRouter", "OptimisticRouter"]
