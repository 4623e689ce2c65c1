"""The net of an estimator as plain data: numpy arrays, numbers and names."""

from __future__ import annotations

import numpy as np
import torch
from skorch.history import History

from .._device import resolve_device

__all__ = [
    "_device_at_hand",
    "net_state",
    "optimizer_state",
    "restore_optimizer",
    "restored_net",
]

# What of a net's parameters says how it is built; the rest is the estimator's.
_BUILT = ("module__", "criterion__")


def net_state(net) -> dict:
    """Weights, architecture and history, without the optimizer.

    Parameters
    ----------
    net : AmipsNet
        Initialized.
    """
    params = net.get_params(deep=False)
    weights = _plain(net.module_).state_dict()
    return {
        "built": {k: v for k, v in params.items() if k.startswith(_BUILT)},
        "weights": {k: v.detach().cpu().numpy() for k, v in weights.items()},
        "history": net.history.to_list(),
    }


def restored_net(estimator, state: dict):
    """The net of an estimator from :func:`net_state`.

    Raises
    ------
    ValueError
        If weights are not those of the architecture.
    """
    from ._build_net import make_net

    built = {str(name): value for name, value in state["built"].items()}
    if not all(name.startswith(_BUILT) for name in built):
        raise ValueError("a net is built by parameters of module and criterion.")
    weights = state["weights"]
    _check_shapes(estimator, built, weights)
    net = make_net(estimator, built, _device_at_hand(estimator._device()))
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in weights.items()}
    _plain(net.module_).load_state_dict(tensors)
    net.history = History(state["history"])
    return net


def _plain(module):
    """A module without what compiles it, which would be in the names of weights."""
    return getattr(module, "_orig_mod", module)


def _check_shapes(estimator, built: dict, weights: dict) -> None:
    """Raise unless the weights fit the architecture, before it takes any memory."""
    factory = estimator._module_params()[0]
    arguments = {k[len("module__") :]: v for k, v in built.items() if k[0] == "m"}
    with torch.device("meta"):
        module = factory(**{**arguments, "seed": 0})
    expected = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    found = {k: tuple(np.shape(v)) for k, v in weights.items()}
    if expected != found:
        raise ValueError("the weights are not those of the architecture.")


def _device_at_hand(device) -> torch.device:
    """The device, or the CPU where this machine does not have it."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def optimizer_state(net) -> dict:
    """State of the optimizer by the place of each weight, as arrays and numbers."""
    state = net.optimizer_.state_dict()["state"]
    return {
        place: {
            name: value.detach().cpu().numpy() if torch.is_tensor(value) else value
            for name, value in values.items()
        }
        for place, values in state.items()
    }


def restore_optimizer(net, state: dict) -> None:
    """Put the state of an optimizer back.

    Raises
    ------
    ValueError
        If it is not one of these weights.
    """
    sizes = [
        tuple(p.shape) for group in net.optimizer_.param_groups for p in group["params"]
    ]
    for place, values in state.items():
        for value in values.values():
            shape = np.shape(value)
            if not 0 <= place < len(sizes) or shape not in ((), sizes[place]):
                raise ValueError("the optimizer is not one of these weights.")
    tensors = {
        place: {
            name: torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v
            for name, v in values.items()
        }
        for place, values in state.items()
    }
    groups = net.optimizer_.state_dict()["param_groups"]
    net.optimizer_.load_state_dict({"state": tensors, "param_groups": groups})
