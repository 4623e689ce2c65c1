"""The skorch net of an estimator, from its parameters."""

from __future__ import annotations

import numpy as np
import torch
from skorch.callbacks import GradientNormClipping

from .._device import resolve_device
from ..losses import AmipsLoss
from ..training import AmipsNet, EpochProgress, TrainingData, ValidationStopping

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def build_net(
    estimator, train: TrainingData, valid: TrainingData | None, *, seed: int
) -> AmipsNet:
    """Build and initialize the net that an estimator trains.

    Parameters
    ----------
    estimator : BaseAmipsRegressor
        Its parameters, keys and partition say what to build.
    train, valid : TrainingData
        What the net will be trained and validated on.
    seed : int
        Seed of the initial weights.
    """
    learns_keys = train.best is not None
    scale = _unit(train) if train.keys is not estimator.keys_ else None
    scale = scale or estimator._key_norms.rms or 1.0
    factory, arguments = estimator._module_params()
    arguments |= {
        "in_features": estimator.n_features_in_,
        "hidden_sizes": _hidden_sizes(estimator.hidden_layer_sizes),
        "n_partitions": estimator.partition_.n_partitions,
        "inject_every": estimator.inject_every,
        "scale": scale,
        "seed": int(seed),
    }
    params = {
        "module": factory,
        **{f"module__{name}": value for name, value in arguments.items()},
        "criterion": AmipsLoss,
        "criterion__score_weight": estimator.score_weight,
        "criterion__key_weight": estimator._key_weight() if learns_keys else 0,
        "criterion__scale": scale,
        "optimizer": OPTIMIZERS.get(estimator.optimizer, estimator.optimizer),
        "lr": estimator.lr,
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "train_split": None,
        "device": resolve_device(estimator.device),
        "callbacks": _callbacks(estimator, valid),
        "callbacks__print_log": None,
        "verbose": 0,
    }
    net = AmipsNet(**(params | (estimator.net_params or {}))).initialize()
    estimator._prepare_module(net.module_)
    return net


def _callbacks(estimator, valid: TrainingData | None) -> list:
    callbacks = [("clip", GradientNormClipping(1.0))]
    if estimator.early_stopping and valid is not None:
        stopping = ValidationStopping(estimator.n_iter_no_change)
        callbacks.append(("early_stopping", stopping))
    if estimator.verbose:
        callbacks.append(("progress", EpochProgress(type(estimator).__name__)))
    return callbacks + list(estimator.callbacks or [])


def _unit(train: TrainingData) -> float:
    """Typical size of the scores that a user gave."""
    return float(np.sqrt(np.square(train.scores, dtype=np.float64).mean()))


def _hidden_sizes(hidden_layer_sizes) -> list[int]:
    sizes = np.atleast_1d(hidden_layer_sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or not (sizes > 0).all():
        raise ValueError(
            "hidden_layer_sizes must be positive integers, one a hidden layer: got "
            f"{hidden_layer_sizes!r}."
        )
    return sizes.tolist()
