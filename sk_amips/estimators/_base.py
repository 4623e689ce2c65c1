"""What the two estimators share: parameters, fitting, and the contract around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data
from skorch.callbacks import GradientNormClipping

from .._device import resolve_device
from .._validation import as_keys, check_same_width, key_norms
from ..losses import AmipsLoss
from ..partition import spherical_kmeans
from ..training import AmipsNet, EpochProgress, TrainingData, ValidationStopping
from ._search import SearchMixin
from ._targets import given_targets, searched_targets, split_rows

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

MAX_SEED = np.iinfo(np.int32).max


class BaseAmipsRegressor(SearchMixin, RegressorMixin, BaseEstimator, ABC):
    """Base of :class:`SupportNetRegressor` and :class:`KeyNetRegressor`."""

    _parameter_constraints: dict = {
        "keys": ["array-like", "sparse matrix", None],
        "n_partitions": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"sqrt"}),
        ],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "inject_every": [Interval(Integral, 1, None, closed="left"), None],
        "score_weight": [Interval(Real, 0, None, closed="left")],
        "key_weight": [Interval(Real, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), HasMethods(["step", "zero_grad"])],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _module_params(self) -> tuple[Callable[..., torch.nn.Module], dict]:
        """A factory of the network and the arguments of its own."""

    @abstractmethod
    def _prepare_module(self, module: torch.nn.Module) -> None:
        """Set the part of the network that the partition already gives."""

    def _key_weight(self) -> float:
        """Weight of the key loss."""
        return self.key_weight

    # Match only the key of the best list, when matching all would be too much work.
    _winner_only = False

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, groups=None, X_val=None):
        """Learn from logged queries.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries. Their norms do not matter.
        y : array-like of shape (n_queries,) or (n_queries, n_features), default=None
            Targets to use instead of those of an exact search over the keys: support
            values, or best keys.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries, such as their counts in a log.
        groups : array-like of shape (n_queries,), default=None
            Source of each query. Queries of one group stay together when validation
            queries are split off.
        X_val : array-like of shape (n_validation_queries, n_features), default=None
            Validation queries to use instead of splitting some off. Their targets are
            always searched.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If queries and keys differ in width, values are not finite, weights are
            negative or all zero, or a key has norm zero.
        """
        going_on = self.warm_start and hasattr(self, "net_")
        return self._fit(
            X, y, sample_weight, groups, X_val, going_on, epochs=self.max_epochs
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None):
        """Go on learning: one pass over more queries.

        The first call sets keys, partition and network as :meth:`fit` does.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : array-like, default=None
            As in :meth:`fit`.
        sample_weight : array-like of shape (n_queries,), default=None
            As in :meth:`fit`.

        Returns
        -------
        self : object
            The estimator itself.
        """
        return self._fit(
            X, y, sample_weight, None, None, hasattr(self, "net_"), epochs=1
        )

    def _fit(self, *args, **kwargs):
        """Fit, or leave the estimator as it was when that fails."""
        before = vars(self).copy()
        try:
            return self._fit_checked(*args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _fit_checked(self, X, y, sample_weight, groups, X_val, going_on, epochs):
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=not going_on)
        weight = self._normalised_weight(X, sample_weight)
        if not going_on:
            self._set_keys(X)
        train = self._training_data(X, y)
        train = replace(train, weight=weight)
        valid = None
        seeds = self._random_state.randint(MAX_SEED, size=3)
        if X_val is not None:
            X_val = validate_data(self, X_val, dtype=X.dtype, reset=False)
            valid = self._training_data(X_val, None)
        elif self.early_stopping and epochs > 1:
            rows = split_rows(len(X), groups, self.validation_fraction, seeds[0])
            train, valid = (train.subset(some) for some in rows)
        if not going_on:
            net = self._make_net(train, seeds[1], early_stopping=valid is not None)
            net.initialize()
            self._prepare_module(net.module_)
            self.net_ = net
        self.net_.partial_fit(train, valid, epochs=epochs, seed=seeds[2])
        self.history_ = self.net_.history
        self.loss_curve_ = self.history_[:, "train_loss"]
        self.n_iter_ = len(self.history_)
        return self

    def _set_keys(self, X: np.ndarray) -> None:
        """Take over the keys, by reference, and partition them."""
        keys = X if self.keys is None else as_keys(self.keys)
        check_same_width(keys, X)
        norms = key_norms(keys, allow_zero=self.keys is None)
        random_state = check_random_state(self.random_state)
        n_partitions = self.n_partitions
        if n_partitions == "sqrt":
            n_partitions = max(1, round(len(keys) ** 0.5))
        if n_partitions > len(keys):
            raise ValueError(
                f"n_partitions must be at most the number of keys, {len(keys)}: "
                f"got {n_partitions}."
            )
        self.partition_ = spherical_kmeans(
            keys, n_partitions, seed=random_state.randint(MAX_SEED)
        )
        self.keys_ = keys
        self._key_norms = norms
        self._random_state = random_state

    def _hidden_sizes(self) -> list[int]:
        sizes = np.atleast_1d(self.hidden_layer_sizes)
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or not (sizes > 0).all():
            raise ValueError(
                "hidden_layer_sizes must be positive integers, one a hidden layer: got "
                f"{self.hidden_layer_sizes!r}."
            )
        return sizes.tolist()

    def _normalised_weight(self, X, sample_weight) -> np.ndarray | None:
        if sample_weight is None:
            return None
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return (weight / weight.mean()).astype(np.float32)

    def _training_data(self, X: np.ndarray, y) -> TrainingData:
        if y is not None:
            return given_targets(X, y, self.partition_.n_partitions)
        data = searched_targets(
            self.keys_,
            X,
            self.partition_,
            max_norm=self._key_norms.max,
            n_jobs=self.n_jobs,
            device=self.device,
        )
        return replace(data, winner_only=self._winner_only)

    def _make_net(
        self, train: TrainingData, seed: int, *, early_stopping: bool
    ) -> AmipsNet:
        # The unit of the targets: keys' norm, or the size of given support values.
        scale = self._key_norms.rms
        if train.best is None or train.keys is not self.keys_:
            scale = float(np.sqrt(np.square(train.scores, dtype=np.float64).mean()))
        scale = scale or 1.0
        factory, arguments = self._module_params()
        arguments.update(
            in_features=self.n_features_in_,
            hidden_sizes=self._hidden_sizes(),
            n_partitions=self.partition_.n_partitions,
            inject_every=self.inject_every,
            scale=scale,
            seed=int(seed),
        )
        callbacks = [("clip", GradientNormClipping(1.0))]
        if early_stopping and self.early_stopping:
            stop = ValidationStopping(self.n_iter_no_change)
            callbacks.append(("early_stopping", stop))
        if self.verbose:
            callbacks.append(("progress", EpochProgress(type(self).__name__)))
        params = {
            "module": factory,
            **{f"module__{name}": value for name, value in arguments.items()},
            "criterion": AmipsLoss,
            "criterion__score_weight": self.score_weight,
            "criterion__key_weight": self._key_weight()
            if train.best is not None
            else 0,
            "criterion__scale": scale,
            "optimizer": OPTIMIZERS.get(self.optimizer, self.optimizer),
            "lr": self.lr,
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "train_split": None,
            "device": resolve_device(self.device),
            "callbacks": callbacks + list(self.callbacks or []),
            "callbacks__print_log": None,
            "verbose": 0,
        }
        return AmipsNet(**(params | (self.net_params or {})))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_clone__(self):
        # Keys go into the clone by reference; everything else is copied as usual.
        keys, self.keys = self.keys, None
        try:
            copy = super().__sklearn_clone__()
        finally:
            self.keys = keys
        return copy.set_params(keys=keys)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.regressor_tags.poor_score = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
