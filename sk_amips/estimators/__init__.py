"""The two estimators."""

from ._key import KeyNetRegressor
from ._support import SupportNetRegressor

__all__ = ["KeyNetRegressor", "SupportNetRegressor"]
