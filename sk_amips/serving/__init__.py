"""Fitted estimators as plain torch modules and ONNX files, for use without them."""

from ._module import QueryModule, query_module
from ._onnx import export_onnx

__all__ = ["QueryModule", "export_onnx", "query_module"]
