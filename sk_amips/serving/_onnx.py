"""ONNX files of fitted estimators."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from ._module import query_module

__all__ = ["OPSET", "export_onnx"]

# The first that has all operators of a gradient written out, and is widely read.
OPSET = 18


def export_onnx(router, path: str | os.PathLike, what: str = "predict") -> None:
    """Write a method of a fitted router as an ONNX file, weights inside.

    The graph takes ``queries``, float32 of shape (n, n_features) for any n, and returns
    ``scores`` or ``keys``. The gradient of a SupportNet is ordinary algebra in it.

    Parameters
    ----------
    router : BaseRouter
        Fitted.
    path : str or path-like
        File to write; one that is there is replaced when the new one is whole.
    what : {"predict", "transform", "partitions"}, default="predict"
        Which method; "partitions" stands for ``predict_partitions``.

    Raises
    ------
    ImportError
        If ``onnx`` or ``onnxscript`` is not installed.
    ValueError
        If the router has no such method.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sk_amips import LinearRouter
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(300, 8))
    >>> queries = rng.normal(size=(50, 8)).astype(np.float32)
    >>> router = LinearRouter(keys, n_partitions=10).fit(queries)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "router.onnx")
    ...     router.to_onnx(path, what="partitions")
    ...     session = onnxruntime.InferenceSession(path)
    >>> (scores,) = session.run(None, {"queries": queries})
    >>> np.allclose(scores, router.predict_partitions(queries), atol=1e-5)
    True
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'to_onnx needs onnx and onnxscript: pip install "sk-amips[onnx]".'
        ) from error
    module = query_module(router, what)
    # Two queries, as of one the exporter would take the number for fixed.
    example = torch.linspace(-1, 1, 2 * router.n_features_in_).reshape(2, -1)
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["queries"],
            output_names=["keys" if module.what == "key" else "scores"],
            dynamic_shapes={"queries": {0: torch.export.Dim("n")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    try:
        program.save(str(part), external_data=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _quiet():
    """Without what the exporter says of itself, and of libraries that are not there."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record) -> bool:
    return False
