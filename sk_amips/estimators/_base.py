"""What the two estimators share: parameters, fitting, and the contract around it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

from .._device import resolve_device
from .._samples import checked_groups
from .._validation import as_keys, key_norms
from ..exact._search import check_k
from ..training import (
    Matching,
    TrainingData,
    add_noise,
    check_execution,
    check_precision,
    noisy_queries,
    sources,
)
from ._build_net import OPTIMIZERS, build_net, update_net
from ._net_state import net_state, restored_net
from ._scoring import validation_metrics
from ._search import NetRouter
from ._sklearn_callbacks import CallbackSupport, FitTasks
from ._targets import given_targets, searched_targets
from ._watch import FitWatch

# Fewer training queries for each of several lists are filled up by noisy ones.
_QUERIES_PER_LIST = 64
# Norm of the noise of keys, beside a log of queries and without.
_KEY_NOISE, COLD_NOISE = 0.6, 0.3
# Noisy keys that stand in for a log, at most.
_MOST_COLD = 2**17


class BaseAmipsRegressor(CallbackSupport, NetRouter):
    """Base of :class:`SupportNetRegressor` and :class:`KeyNetRegressor`."""

    _parameter_constraints: dict = {
        **NetRouter._parameter_constraints,
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "inject_every": [Interval(Integral, 1, None, closed="left"), None],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "score_weight": [Interval(Real, 0, None, closed="left")],
        "key_weight": [Interval(Real, 0, None, closed="left")],
        "matched_partitions": [
            StrOptions({"best", "all"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "routing_weight": [Interval(Real, 0, None, closed="left")],
        "score_temperature": [Interval(Real, 0, None, closed="neither"), None],
        "noisy_queries": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "query_noise": [Interval(Real, 0, None, closed="left")],
        "noisy_keys": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "key_noise": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "lr_schedule": [StrOptions({"cosine"}), None],
        "ema_decay": [Interval(Real, 0, 1, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), type],
        "early_stopping": ["boolean"],
        "scoring": [StrOptions({"auto", "loss", "match_rate", "routing_recall"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, HasMethods(["cache"]), None],
        "execution": [StrOptions({"auto", "eager", "graph", "compile"})],
        "precision": [StrOptions({"auto", "float32", "tf32", "bfloat16"})],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    # Metadata routing passes groups on unless told otherwise, as to splitters: without
    # them queries of a group would straddle a split in here.
    __metadata_request__fit = {"groups": True}

    @abstractmethod
    def _module_params(self) -> tuple[Callable[..., torch.nn.Module], dict]:
        """A factory of the network and the arguments of its own."""

    @abstractmethod
    def _prepare_module(self, module: torch.nn.Module) -> None:
        """Set the part of the network that the partition already gives."""

    # What "auto" is with one partition and with several.
    _auto: ClassVar[dict] = {}

    def _get(self, name: str):
        """Value of a parameter that may be left to the estimator."""
        value = getattr(self, name)
        if name in self._auto and isinstance(value, str) and value == "auto":
            return self._auto[name][self.partition_.n_partitions > 1]
        return value

    def _per_partition(self) -> bool:
        """Whether every partition has an output of its own."""
        return self.partition_.n_partitions > 1

    # Whether predictions, and so targets, are keys rather than scores.
    _predicts_keys = False

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, groups=None, X_val=None):
        """Learn from logged queries.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features) or None
            Queries. Their norms do not matter. None, where there is no log yet: noisy
            keys stand in for queries, and :meth:`partial_fit` goes on from there.
        y : array-like of shape (n_queries,) or (n_queries, n_features), default=None
            Targets to use instead of those of an exact search over the keys: support
            values, or best keys.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries, such as their counts in a log; only their ratios
            within a call matter.
        groups : array-like of shape (n_queries,), default=None
            Source of each query. Queries of one group stay together when validation
            queries are split off. A grid search passes them on where scikit-learn's
            metadata routing is enabled; without it they reach its own splits only.
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
            negative or all zero, a key has norm zero, or training diverges; if ``X`` is
            None and ``keys`` are too, or anything is said about queries. The estimator
            is then as it was before.

        Notes
        -----
        In a pipeline that ends in a classifier or regressor, ``y`` reaches this step as
        well: targets of another task are then learned as scores. Fit this step ahead of
        the pipeline, and freeze it with :class:`sklearn.frozen.FrozenEstimator`.
        """
        going_on = self.warm_start and hasattr(self, "net_")
        tasks = FitTasks.of(self, X, y, sample_weight)
        with self._watched(tasks) as watch, self._fitting(going_on=going_on) as twin:
            twin._check_same_fit(
                X=X, y=y, sample_weight=sample_weight, groups=groups, X_val=X_val
            )
            is_cold = X is None
            if is_cold:
                if not (y is sample_weight is groups is None):
                    raise ValueError(
                        "y, sample_weight and groups must be None where X is."
                    )
                X, groups = twin._noisy_keys_alone()
            X = twin._begin(X)
            twin.is_cold_ = is_cold and getattr(twin, "is_cold_", True)
            groups = checked_groups(groups, X)
            train = twin._training_data(X, y, sample_weight, watch=watch)
            if tasks is not None:
                tasks.learn(twin, X, train, is_cold=is_cold)
            valid = None
            if X_val is not None:
                X_val = twin._checked(X_val, reset=False)
                valid = twin._training_data(X_val, watch=watch)
            elif self.early_stopping:
                train, valid = train.split(
                    self.validation_fraction, groups=groups, seed=twin._seed()
                )
            if train.weight is not None and not train.field("weight").any():
                raise ValueError("sample_weight leaves no query to train on.")
            searched = y is None or X_val is not None
            if not is_cold:
                train = twin._augmented(train, y, watch=watch)
            twin._train(train, valid, searched=searched, watch=watch)
        return self

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
        going_on = hasattr(self, "net_")
        with self._watched() as watch, self._fitting(going_on=going_on) as twin:
            twin._check_same_fit(X=X, y=y, sample_weight=sample_weight)
            X = twin._begin(X)
            twin.is_cold_ = False
            train = twin._training_data(X, y, sample_weight, watch=watch)
            train = twin._augmented(train, y, enough=0, watch=watch)
            twin._train(train, epochs=1, watch=watch)
        return self

    def _watched(self, tasks: FitTasks | None = None) -> FitWatch:
        """What tells progress bars, where they are wanted, and the tasks of a fit."""
        is_shown = self.verbose and self._processes().is_main
        return FitWatch(type(self).__name__ if is_shown else None, tasks)

    def _begin(self, X) -> np.ndarray:
        """Check queries, and set what comes ahead of training or see that it holds."""
        going_on = hasattr(self, "net_")
        X = self._checked(X, reset=not going_on)
        device = resolve_device(self._device())
        check_execution(self.execution, device)
        check_precision(self.precision, device)
        if going_on:
            self._check_partition_unchanged()
            if self._n_summed() != self.n_summed_:
                raise ValueError(
                    f"the network has learned sums of {self.n_summed_} keys, top_k is "
                    f"now {self.top_k}: fit anew with warm_start=False."
                )
            update_net(self, self.net_)
        else:
            self._take_keys(X)
            self.n_summed_ = self._n_summed()
        check_k(self.top_k, len(self.keys_), "top_k")
        weights = [self.score_weight, self._get("key_weight")]
        if self.partition_.n_partitions > 1:
            weights.append(self.routing_weight)
        if not any(weights):
            raise ValueError(
                "score_weight, key_weight and, with several partitions, "
                "routing_weight must not all be zero."
            )
        return X

    def _n_summed(self) -> int:
        """Number of best keys whose sum the network is to predict."""
        return 1 if self._per_partition() else self.top_k

    def _matched(self) -> str:
        """Partitions whose best keys are needed: "none", "best" or "all"."""
        if not self._predicts_keys and self._get("key_weight") == 0:
            return "none"
        return "best" if self.matched_partitions == "best" else "all"

    def _training_data(
        self,
        X: np.ndarray,
        y=None,
        sample_weight=None,
        *,
        watch: FitWatch | None = None,
    ) -> TrainingData:
        if y is not None and self.top_k > 1:
            raise ValueError(
                f"y can be given with top_k=1 only, got top_k={self.top_k}; leave y "
                "out to have its targets searched."
            )
        if y is None:
            data = searched_targets(
                self.keys_,
                X,
                self.partition_,
                k=self.top_k,
                per_partition=self._per_partition(),
                max_norm=self.key_norms_.max,
                matched=self._matched(),
                n_jobs=self.n_jobs,
                memory=self.memory,
                device=self._device(),
                processes=self._processes(),
                progress=None if watch is None else watch.labels(len(X)),
            )
        else:
            n_partitions = self.partition_.n_partitions
            data = given_targets(X, y, n_partitions, column_is_key=self._predicts_keys)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            weight = (weight / weight.mean()).astype(np.float32)
        temperature = self.score_temperature
        if temperature is not None:
            temperature *= self.key_norms_.rms or 1.0
        matching = Matching(self.matched_partitions, temperature, self._predicts_keys)
        return replace(data, weight=weight, matching=matching)

    def _augmented(
        self,
        train: TrainingData,
        y,
        enough: int = _QUERIES_PER_LIST,
        *,
        watch: FitWatch,
    ) -> TrainingData:
        """Training data together with noisy queries and noisy keys.

        ``enough`` queries for each of several lists take no noisy ones, where that is
        left to the estimator.
        """
        n_lists = self.partition_.n_partitions if self._per_partition() else 0
        missing = max(0, enough * n_lists - len(train)) if y is None else 0
        n_queries, n_keys = (
            missing if share == "auto" else round(share * len(train))
            for share in (self.noisy_queries, self.noisy_keys)
        )
        if n_queries + n_keys == 0:
            return train
        if y is not None:
            raise ValueError(
                "noisy_queries and noisy_keys need targets that can be searched: "
                "leave y out."
            )
        queries = train.field("queries")
        rng = self.random_state_
        weight = train.field("weight")
        noise = _KEY_NOISE if self.key_noise == "auto" else self.key_noise
        # Keys that are queries must not be those that validate.
        keys = queries if self.keys is None else self.keys_
        noisy = np.concatenate(
            [
                noisy_queries(queries, n_queries, self.query_noise, rng, weight=weight),
                noisy_queries(keys, n_keys, noise, rng),
            ]
        )
        return train.extend(self._training_data(noisy, watch=watch))

    def _noisy_keys_alone(self) -> tuple[np.ndarray, np.ndarray]:
        """What to learn from without a log of queries, and the key behind each."""
        if self.keys is None:
            raise ValueError("Without queries there must be keys, got keys=None.")
        keys = as_keys(self.keys)
        key_norms(keys)  # before noise hides what is wrong with them
        n = min(2 * len(keys), _MOST_COLD)
        if self.noisy_keys != "auto":
            n = round(self.noisy_keys * len(keys))
        if n == 0:
            raise ValueError(
                f"Without queries noisy_keys={self.noisy_keys} leaves nothing to learn "
                "from."
            )
        noise = COLD_NOISE if self.key_noise == "auto" else self.key_noise
        rng = self._random()
        rows = sources(len(keys), n, rng)
        return add_noise(keys, rows, noise, rng), rows

    def _train(
        self,
        train: TrainingData,
        valid: TrainingData | None = None,
        *,
        epochs: int | None = None,
        searched: bool = True,
        watch: FitWatch,
    ) -> None:
        if not hasattr(self, "net_"):
            self.net_ = build_net(self, train, seed=self._seed())
        metrics = {}
        if valid is not None and self.early_stopping:
            metrics = validation_metrics(self, valid, searched=searched, watch=watch)
        self.n_samples_seen_ = getattr(self, "n_samples_seen_", 0) + len(train)
        watch.begin_epochs(epochs or self.net_.max_epochs)
        self.net_.partial_fit(
            train,
            valid,
            epochs=epochs,
            seed=self._seed(),
            metrics=metrics,
            watch=watch,
            processes=self._processes(),
        )
        watch.end_epochs()
        self._take_history()

    def _take_history(self) -> None:
        """Set what the history of the net says."""
        self.history_ = self.net_.history
        self.loss_curve_ = self.history_[:, "train_loss"]
        self.n_iter_ = len(self.history_)

    def _to_state(self) -> dict:
        state = super()._to_state()
        if "net_" in state:
            state["net_"] = net_state(self.net_)
            del state["history_"], state["loss_curve_"], state["n_iter_"]
        return state

    def _restore(self, state: dict) -> None:
        super()._restore(state)
        if "net_" in state:
            self.net_ = restored_net(self, state["net_"])
            self._take_history()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False  # RegressorMixin says True
        tags.regressor_tags.poor_score = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
