"""Callbacks of scikit-learn, for releases that have them in the form known here.

``sklearn.callback`` is experimental. With a release that has none, or has them in
another form, the estimators have no ``set_callbacks`` and fit as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from inspect import signature

import numpy as np

from .._validation import row_norms
from ..training import TrainingData

try:
    from sklearn.callback import CallbackContext, CallbackSupportMixin
except ImportError:
    CallbackContext = CallbackSupportMixin = None

__all__ = ["CallbackSupport", "FitTasks"]


def _is_known(owner, method: str, *parameters: str) -> bool:
    function = getattr(owner, method, None)
    return callable(function) and {*parameters} <= {*signature(function).parameters}


_HOOK = ("estimator", "X", "y", "metadata")
_HAS_CALLBACKS = (
    _is_known(CallbackSupportMixin, "_init_callback_context", "max_subtasks")
    and _is_known(CallbackContext, "subcontext", "task_name", "max_subtasks")
    and _is_known(CallbackContext, "call_on_fit_task_begin", *_HOOK)
    and _is_known(
        CallbackContext, "call_on_fit_task_end", *_HOOK, "reconstruction_attributes"
    )
)

if _HAS_CALLBACKS:
    CallbackSupport = CallbackSupportMixin
else:

    class CallbackSupport:
        """Nothing, where scikit-learn has no callbacks or others than are known."""


class FitTasks:
    """The tasks of a fit that scikit-learn's callbacks are told of.

    The fit has two subtasks, "labels" and "epochs", and the latter one for each epoch.

    Parameters
    ----------
    estimator : BaseAmipsRegressor
        The estimator that the callbacks are set on, before it is fitted.
    X, y, sample_weight
        What it is fitted on.
    """

    def __init__(self, estimator, X, y, sample_weight):
        self._estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._data = {"X": X, "y": y, "metadata": metadata}
        self._state = None
        self._tasks = [estimator._init_callback_context(max_subtasks=2)]
        self._tasks[0].call_on_fit_task_begin(estimator=estimator, **self._data)

    @classmethod
    def of(cls, estimator, X, y, sample_weight) -> FitTasks | None:
        """The tasks of a fit, or None if no callback is to hear of them."""
        if not (_HAS_CALLBACKS and hasattr(estimator, "_skl_callbacks")):
            return None
        return cls(estimator, X, y, sample_weight)

    def learn(self, twin, X: np.ndarray, targets: TrainingData, *, is_cold: bool):
        """Take the estimator that learns, and the targets that were not given."""
        self._state = lambda: fitted_state(twin)
        if is_cold:
            self._data["X"] = X
        if self._data["y"] is None:
            self._data["y"] = lambda: searched_y(twin, X, targets)

    def begin(self, name: str, max_subtasks: int | None = 0) -> None:
        """Begin a subtask of the present one."""
        task = self._tasks[-1].subcontext(task_name=name, max_subtasks=max_subtasks)
        self._tasks.append(task)
        task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self, *, fitted: bool = False) -> bool:
        """End the present task; whether a callback wants no further one like it.

        ``fitted`` tasks end with something that predicts.
        """
        return self._end(self._state if fitted else None)

    def end_fit(self) -> None:
        """End the fit, after which the estimator itself predicts."""
        self._end({})

    def _end(self, state: Callable[[], dict] | dict | None) -> bool:
        return self._tasks.pop().call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=state
        )


def fitted_state(estimator) -> dict:
    """Fitted attributes as if training had stopped here, and that stay as they are."""
    stopped = copy(estimator)
    stopped.net_ = copy(estimator.net_)  # through its state, with weights of its own
    stopped.net_.history_ = copy(estimator.net_.history)
    stopped._take_history()
    return {name: value for name, value in vars(stopped).items() if name[-1] == "_"}


def searched_y(estimator, X: np.ndarray, targets: TrainingData) -> np.ndarray:
    """The targets of queries in the form in which a user gives them."""
    scores = targets.field("scores")
    if not estimator._predicts_keys:
        return (row_norms(X) * scores).max(axis=1)
    best = targets.field("best")
    # One partition's keys, or each partition's: those of the best one.
    best = best[np.arange(len(X)), scores.argmax(axis=1) if best.shape[1] > 1 else 0]
    return estimator.keys_[best].sum(axis=1)
