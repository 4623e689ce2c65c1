"""The skorch net of an estimator, from its parameters."""

from __future__ import annotations

import numpy as np
import torch

from .._device import resolve_device
from ..losses import AmipsLoss
from ..training import AmipsNet, EpochEvents, TrainingData, ValidationStopping

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


# What the estimators decide, and net_params therefore cannot.
RESERVED = {
    "module",
    "criterion",
    "dataset",
    "iterator_train",
    "iterator_valid",
    "train_split",
    "warm_start",
    "execution",
    "precision",
}


def build_net(estimator, train: TrainingData, *, seed: int) -> AmipsNet:
    """Build and initialize the net that an estimator trains.

    Parameters
    ----------
    estimator : BaseAmipsRegressor
        Its parameters, keys and partition say what to build.
    train : TrainingData
        What the net will be trained on.
    seed : int
        Seed of the initial weights.
    """
    scale = train.unit or estimator.n_summed_ * estimator.key_norms_.rms or 1.0
    built = {k: v for k, v in module_params(estimator).items() if k != "module"}
    built |= {
        "module__scale": scale,
        "module__seed": seed,
        "criterion__consistency": estimator._predicts_keys,
        "criterion__scale": scale,
    }
    built |= {f"criterion__{k}": v for k, v in _loss_weights(estimator).items()}
    net = make_net(estimator, built, resolve_device(estimator._device()))
    estimator._prepare_module(net.module_)
    return net


def make_net(estimator, built: dict, device: torch.device) -> AmipsNet:
    """An initialized net with given parameters of module and criterion."""
    params = {
        **built,
        "module": estimator._module_params()[0],
        "criterion": AmipsLoss,
        "optimizer": OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        "train_split": None,
        "device": device,
        "callbacks__print_log": None,
        # Outputs of batches are tuples, which EpochScoring could not put together.
        "use_caching": False,
        "verbose": 0,
    }
    params |= _training_params(estimator)
    if _is_faster_fused(params):
        params.setdefault("optimizer__fused", True)
    return AmipsNet(**params).initialize()


def update_net(estimator, net: AmipsNet) -> None:
    """Take over parameters of training that changed since the net was built.

    Raises
    ------
    ValueError
        If the network or its keys would have to be another.
    """
    old = net.get_params(deep=False)
    for name, value in module_params(estimator).items():
        if old[name] != value:
            raise ValueError(
                f"{name.removeprefix('module__')} changed from {old[name]!r} to "
                f"{value!r}: fit anew with warm_start=False."
            )
    if estimator.keys is not None and np.shape(estimator.keys) != estimator.keys_.shape:
        raise ValueError(
            f"keys changed in shape from {estimator.keys_.shape} to "
            f"{np.shape(estimator.keys)}: fit anew with warm_start=False."
        )
    for name, weight in _loss_weights(estimator).items():
        # Not by set_params, which would make a new optimizer.
        setattr(net, f"criterion__{name}", weight)
        setattr(net.criterion_, name, weight)
    params = _training_params(estimator)
    net.callbacks = params.pop("callbacks")
    changed = {k: v for k, v in params.items() if k not in old or old[k] != v}
    net.set_params(**changed)
    net.initialize_callbacks()


def _is_faster_fused(params: dict) -> bool:
    """Whether the optimizer has a fused form that is faster, also on a CPU."""
    # Of SGD it is not. A user's choice of another form excludes the fused one.
    has_one = params["optimizer"] in (torch.optim.Adam, torch.optim.AdamW)
    excluded = ("foreach", "differentiable")
    return has_one and not any(params.get(f"optimizer__{name}") for name in excluded)


def module_params(estimator) -> dict:
    """Architecture of the network, in skorch's words."""
    factory, arguments = estimator._module_params()
    arguments |= {
        "in_features": estimator.n_features_in_,
        "hidden_sizes": _hidden_sizes(estimator._get("hidden_layer_sizes")),
        "n_partitions": estimator.partition_.n_partitions,
        "inject_every": estimator.inject_every,
    }
    return {"module": factory} | {f"module__{k}": v for k, v in arguments.items()}


def _loss_weights(estimator) -> dict:
    """Weights of the terms of the loss, which may change between calls as well."""
    return {
        "score_weight": estimator.score_weight,
        "key_weight": estimator._get("key_weight"),
        "routing_weight": estimator.routing_weight,
    }


def _training_params(estimator) -> dict:
    """Parameters that may change between calls."""
    extra = estimator.net_params or {}
    reserved = sorted(n for n in extra if n.split("__")[0] in RESERVED)
    if reserved:
        raise ValueError(f"net_params cannot set {reserved[0]!r}.")
    return {
        "lr": estimator._get("lr"),
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "ema_decay": estimator.ema_decay,
        "lr_schedule": estimator.lr_schedule,
        "execution": estimator.execution,
        "precision": estimator.precision,
        "callbacks": _callbacks(estimator),
    } | extra


def _callbacks(estimator) -> list:
    callbacks = [("epoch_events", EpochEvents())]
    if estimator.early_stopping:
        stopping = ValidationStopping(estimator.n_iter_no_change)
        callbacks.append(("early_stopping", stopping))
    return callbacks + list(estimator.callbacks or [])


def _hidden_sizes(hidden_layer_sizes) -> list[int]:
    sizes = np.atleast_1d(hidden_layer_sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or not (sizes > 0).all():
        raise ValueError(
            "hidden_layer_sizes must be positive integers, one a hidden layer: got "
            f"{hidden_layer_sizes!r}."
        )
    return sizes.tolist()
