"""Callbacks of scikit-learn, through ``set_callbacks``, and of skorch."""

import importlib.util
import pickle
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import skorch.callbacks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_amips.estimators import _sklearn_callbacks
from sk_amips.metrics import recall_at_k_scorer

sklearn_callback = pytest.importorskip("sklearn.callback")
ProgressBar, ScoringMonitor = (
    sklearn_callback.ProgressBar,
    sklearn_callback.ScoringMonitor,
)


class Record:
    """Keeps what it is told, and stops at some epoch."""

    def __init__(self, stop_at=None, fail_at=None):
        self.events = []
        self.fitted = []
        self.data = None
        self.stop_at, self.fail_at = stop_at, fail_at

    def setup(self, estimator, context):
        self.estimator = estimator
        self.events.append("setup")

    def teardown(self, estimator, context):
        assert estimator is self.estimator
        self.events.append("teardown")

    def _note(self, what, estimator, context):
        assert estimator is self.estimator
        self.events.append((what, context.task_name, context.task_id))

    def on_fit_task_begin(self, estimator, context):
        self._note("begin", estimator, context)
        if context.task_name == self.fail_at:
            raise KeyError(self.fail_at)

    def on_fit_task_end(
        self,
        estimator,
        context,
        *,
        X=None,
        y=None,
        metadata=None,
        fitted_estimator=None,
    ):
        self._note("end", estimator, context)
        if context.task_name == "epoch":
            self.fitted.append(fitted_estimator)
            self.data = X, y, metadata
            return context.task_id == self.stop_at
        assert (fitted_estimator is not None) == (context.task_name == "fit")
        return True  # no level of iterations: without effect


def story(n_epochs):
    """What a callback is told of a fit."""
    epochs = [(what, "epoch", i) for i in range(n_epochs) for what in ("begin", "end")]
    return [
        "setup",
        ("begin", "fit", 0),
        ("begin", "labels", 0),
        ("end", "labels", 0),
        ("begin", "epochs", 1),
        *epochs,
        ("end", "epochs", 1),
        ("end", "fit", 0),
        "teardown",
    ]


@pytest.mark.parametrize("n_partitions", [1, 4])
def test_order_of_tasks(make, log, n_partitions):
    record = Record()
    est = make(n_partitions=n_partitions).set_callbacks(record)
    assert est.fit(log.train) is est is record.estimator
    assert record.events == story(3)
    same = make(n_partitions=n_partitions).fit(log.train)
    np.testing.assert_array_equal(est.predict(log.test), same.predict(log.test))


def test_every_epoch_ends_with_an_estimator_that_stays_as_it_is(make, log):
    record = Record()
    est = make(n_partitions=4).set_callbacks(record).fit(log.train)
    predicted = [f.predict_partitions(log.test) for f in record.fitted]
    assert [f.n_iter_ for f in record.fitted] == [1, 2, 3]
    assert not np.allclose(predicted[0], predicted[1])
    np.testing.assert_array_equal(predicted[2], est.predict_partitions(log.test))
    shorter = make(n_partitions=4, max_epochs=3).set_callbacks(Record(stop_at=0))
    shorter.fit(log.train)
    np.testing.assert_array_equal(predicted[0], shorter.predict_partitions(log.test))
    again = pickle.loads(pickle.dumps(record.fitted[0].set_callbacks()))
    np.testing.assert_array_equal(again.predict_partitions(log.test), predicted[0])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_may_stop(make, log, early_stopping):
    record = Record(stop_at=1)
    est = make(max_epochs=20, early_stopping=early_stopping).set_callbacks(record)
    assert est.fit(log.train).n_iter_ == len(est.loss_curve_) == 2
    assert record.events == story(2)


def test_early_stopping_ends_its_last_epoch(make, log):
    record = Record()
    est = make(max_epochs=50, early_stopping=True, n_iter_no_change=2, lr=1e-9)
    est.set_callbacks(record).fit(log.train)
    assert est.n_iter_ < 50
    assert record.events == story(est.n_iter_)


@pytest.mark.parametrize("fail_at", ["fit", "labels", "epochs", "epoch"])
def test_errors_of_callbacks_are_passed_on(make, log, fail_at):
    est = make(verbose=1).fit(log.train)
    before = est.predict(log.test)
    record = Record(fail_at=fail_at)
    with pytest.raises(KeyError, match=fail_at):
        est.set_callbacks(record).fit(log.train)
    assert record.events[-1] == "teardown"
    np.testing.assert_array_equal(est.predict(log.test), before)
    assert est.set_callbacks().fit(log.train).n_iter_ == 3


def test_errors_of_the_fit_tear_down(make, log):
    record = Record()
    with pytest.raises(ValueError, match="diverged"):
        make(lr=1e30).set_callbacks(record).fit(log.train)
    assert record.events[-2:] == [("begin", "epoch", 0), "teardown"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"top_k": 3},
        {"n_partitions": 4, "key_weight": 1.0},
        {"n_partitions": 4, "key_weight": 1.0, "matched_partitions": "all"},
    ],
)
def test_searched_targets_are_what_predict_should_give(make, log, params):
    record = Record()
    X = 3 * log.train.astype(np.float64)
    X[0] = 0
    weights = np.linspace(0, 1, len(X))
    est = make(early_stopping=True, **params).set_callbacks(record)
    est.fit(X, sample_weight=weights)
    data_X, y, metadata = record.data
    assert data_X is X
    assert metadata["sample_weight"] is weights
    scores, best = est.search(X, params.get("top_k", 1))
    if make.cls.__name__ == "KeyNetRegressor":
        # To the zero query all keys are equal.
        sums = log.keys[best].sum(axis=1)
        np.testing.assert_allclose(y[1:], sums[1:], rtol=1e-5, atol=1e-5)
        assert y.shape == est.predict(X).shape
    else:
        np.testing.assert_allclose(y, scores.sum(axis=1), rtol=1e-5)


def test_given_targets_and_a_cold_start(make, log):
    record = Record()
    est = make(key_weight=1.0).set_callbacks(record)
    est.fit(log.train, log.train)
    assert record.data[1] is log.train
    est.fit(None)
    X, y, metadata = record.data
    assert len(X) == len(y) == 2 * len(log.keys)
    assert metadata is None


def test_scoring_monitor(make, log):
    monitor = ScoringMonitor(
        scoring={"recall": recall_at_k_scorer(1), "r2": "r2", "match": match}
    )
    X = pd.DataFrame(log.train, columns=[f"x{i}" for i in range(log.train.shape[1])])
    est = make(n_partitions=4).set_callbacks(monitor).fit(X)
    rows = monitor.get_logs().data
    epochs = [row for row in rows if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in epochs] == [0, 1, 2]
    assert [row["task_name"] for row in rows if row not in epochs] == ["fit"]
    assert all(row["recall"] == row["match"] for row in rows)
    assert epochs[-1]["match"] == rows[0]["match"] == est.score(X)
    est.set_params(max_epochs=2, warm_start=True).fit(X)
    assert len(monitor.get_logs().data) == 1 + 2


def test_scoring_monitor_has_weights(make, log):
    weights = np.linspace(0, 1, len(log.train))
    monitor = ScoringMonitor(scoring=weighted_match)
    est = make(n_partitions=4).set_callbacks(monitor)
    est.fit(log.train, sample_weight=weights)
    row = monitor.get_logs().data[0]
    assert row["match"] == est.score(log.train, sample_weight=weights)
    assert row["match"] != est.score(log.train)


def match(estimator, X, y):
    return estimator.score(X)


def weighted_match(estimator, X, y, sample_weight):
    return {"match": estimator.score(X, sample_weight=sample_weight)}


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(make, log, capfd, n_jobs):
    pytest.importorskip("rich")
    monitor = ScoringMonitor(scoring={"match": recall_at_k_scorer(1)})
    est = make().set_callbacks(monitor)
    search = GridSearchCV(est, {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar()).fit(log.train)
    rows = monitor.get_logs().data
    n_fits = 2 * 2 + 1
    assert sum(row["task_name"] == "epoch" for row in rows) == 3 * n_fits
    out, err = capfd.readouterr()
    assert "epochs" in out
    assert err == ""
    assert search.best_estimator_.n_iter_ == 3
    assert search.best_estimator_._skl_callbacks == [monitor]


def test_pipeline(make, log, capsys):
    pytest.importorskip("rich")
    pipe = make_pipeline(FunctionTransformer(), make())
    with pytest.warns(UserWarning, match="FunctionTransformer does not support"):
        pipe.set_callbacks(ProgressBar()).fit(log.train)
    assert "epochs" in capsys.readouterr().out


def test_progress_bar_beside_ours(make, log, capsys):
    pytest.importorskip("rich")
    make(verbose=1).set_callbacks(ProgressBar()).fit(log.train)
    out, err = capsys.readouterr()
    assert all(name in out for name in ("fit", "labels #0", "epochs #1"))
    assert "epochs: 100%" in err


def test_partial_fit_has_none(make, log):
    record = Record()
    make().set_callbacks(record).partial_fit(log.train)
    assert record.events == []


def test_callbacks_are_no_parameters(make, log):
    record = Record()
    est = make().set_callbacks(record)
    assert est.get_params() == make().get_params()
    assert repr(est) == repr(make())
    assert clone(est)._skl_callbacks == [record]
    assert clone(est).keys is log.keys
    est.fit(log.train)
    assert not [name for name in vars(est) if "_callback_" in name]
    assert not [name for name in vars(est) if name.endswith("_teardown")]
    record.fitted.clear()
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(log.test), est.predict(log.test))
    with pytest.raises(TypeError, match="FitCallback"):
        est.set_callbacks(skorch.callbacks.Callback())


def loaded_anew():
    """The module as it is when it is imported now."""
    name = "sk_amips.estimators._loaded_anew"
    spec = importlib.util.spec_from_file_location(name, _sklearn_callbacks.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_releases_without_callbacks_or_with_others(monkeypatch):
    assert loaded_anew()._HAS_CALLBACKS
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.callback", None)
        without = loaded_anew()
    with monkeypatch.context() as patch:
        context = sklearn_callback.CallbackContext
        patch.setattr(context, "subcontext", lambda self, title: None)
        other = loaded_anew()
    for module in (without, other):
        assert not module._HAS_CALLBACKS
        assert not hasattr(module.CallbackSupport, "set_callbacks")
        assert module.FitTasks.of(object(), None, None, None) is None


def length(net, X, y):
    return float(len(X))


STOCK = {
    "rate": partial(skorch.callbacks.LRScheduler, "StepLR", step_size=1, gamma=0.5),
    "plateau": partial(
        skorch.callbacks.LRScheduler, "ReduceLROnPlateau", monitor="train_loss"
    ),
    "norm": partial(skorch.callbacks.GradientNormClipping, 1.0),
    "score": partial(skorch.callbacks.EpochScoring, length, name="length"),
    "batch": partial(
        skorch.callbacks.BatchScoring, length, name="length", on_train=True
    ),
    "log": skorch.callbacks.PrintLog,
    "stop": partial(skorch.callbacks.EarlyStopping, patience=2),
}


@pytest.mark.parametrize("name", STOCK)
def test_stock_callbacks_of_skorch(make, log, name, capsys):
    est = make(
        early_stopping=True, lr=1e-3, lr_schedule=None, callbacks=[STOCK[name]()]
    )
    est.fit(log.train)
    assert capsys.readouterr() == ("", "")
    if name == "rate":
        assert est.history_[:, "event_lr"] == [1e-3, 5e-4, 2.5e-4]
    if name == "score":
        assert est.history_[:, "length"] == [100.0] * 3
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(log.test), est.predict(log.test))


def test_print_log_prints_at_the_verbosity_of_the_net(make, log, capsys):
    est = make(callbacks=[skorch.callbacks.PrintLog()], net_params={"verbose": 1})
    est.fit(log.train)
    assert "train_loss" in capsys.readouterr().out


@pytest.mark.parametrize("verbose", [0, 1])
def test_checkpoint_saves_the_net_as_it_trains(make, log, tmp_path, verbose):
    checkpoint = skorch.callbacks.Checkpoint(
        dirname=tmp_path, monitor=None, f_pickle="net.pkl"
    )
    est = make(verbose=verbose, early_stopping=True, callbacks=[checkpoint])
    est.set_callbacks(Record()).fit(log.train)
    assert {"params.pt", "optimizer.pt", "history.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    saved = pickle.loads((tmp_path / "net.pkl").read_bytes())
    assert len(saved.history) == 3
    # Another one goes on from there.
    load = skorch.callbacks.LoadInitState(checkpoint)
    assert make(callbacks=[load]).fit(log.train).n_iter_ == 3 + 3


def test_schedulers_exclude_each_other(make, log):
    est = make(callbacks=[STOCK["rate"]()], early_stopping=True)
    with pytest.raises(ValueError, match="beside an LRScheduler take lr_schedule=None"):
        est.fit(log.train)
    # A single pass keeps a rate of its own.
    est.partial_fit(log.train)
