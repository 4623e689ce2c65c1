"""Precision of the arithmetic of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock

import torch

__all__ = ["Precision", "check_precision"]


_FLAG = RLock()


def check_precision(name: str, device: torch.device) -> None:
    """Raise a ValueError where a device does not have a precision."""
    if name == "tf32" and not _has_tf32(device):
        raise ValueError(
            "precision='tf32' needs a CUDA device of capability 8 or more, got "
            f"{device}."
        )


def _has_tf32(device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


class Precision:
    """How a forward pass and its gradients are computed; weights stay in float32.

    Parameters
    ----------
    name : {"auto", "float32", "tf32", "bfloat16"}
        "tf32": products of matrices round their factors to TensorFloat-32.
        "bfloat16": autocast of the network; the loss stays in float32. "auto": "tf32"
        on CUDA devices that have it, "float32" elsewhere.
    device : torch.device
        Where the network is.

    Attributes
    ----------
    name : str
        The precision that "auto" stands for, or the one that was asked for.
    """

    def __init__(self, name: str, device: torch.device):
        check_precision(name, device)
        if name == "auto":
            name = "tf32" if _has_tf32(device) else "float32"
        self.name = name
        self._device = device

    def autocast(self) -> AbstractContextManager:
        """Context of the forward pass of the network, its loss not included."""
        if self.name != "bfloat16":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def products(self) -> AbstractContextManager:
        """Context of forward and backward pass."""
        if self._device.type != "cuda" or self.name == "bfloat16":
            return nullcontext()
        return _cuda_tf32(self.name == "tf32")


@contextmanager
def _cuda_tf32(use: bool) -> Iterator[None]:
    """Set torch's global flag of TF32 products, and set it back.

    Threads that train at the same time take turns: they may want different values.
    """
    flags = torch.backends.cuda.matmul
    if hasattr(flags, "fp32_precision"):
        name, value = "fp32_precision", "tf32" if use else "ieee"
    else:  # torch below 2.9
        name, value = "allow_tf32", use
    with _FLAG:
        before = getattr(flags, name)
        setattr(flags, name, value)
        try:
            yield
        finally:
            setattr(flags, name, before)
