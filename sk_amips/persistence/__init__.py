"""Fitted estimators as files that run no code, and as pickles without ballast."""

from ._errors import InvalidFileError
from ._folder import load

__all__ = ["InvalidFileError", "load"]
