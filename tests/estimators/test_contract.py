"""The scikit-learn contract beyond its own checks."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils import estimator_html_repr

from sk_amips import KeyNetRegressor
from sk_amips.metrics import recall_at_k_scorer


@pytest.fixture
def mapped_keys(log, tmp_path):
    np.save(tmp_path / "keys.npy", np.repeat(log.keys, 60, axis=0))  # above 1 MB
    return np.load(tmp_path / "keys.npy", mmap_mode="r")


def test_clone_shares_keys(make, log, mapped_keys):
    for keys in (log.keys, mapped_keys, None):
        est = make(keys=keys, callbacks=[], net_params={"lr": 1.0})
        copy = clone(est)
        assert copy.keys is keys
        assert copy.net_params == est.net_params
        assert copy.net_params is not est.net_params
        assert est.keys is keys
        assert clone(make_pipeline(Normalizer(), est))[-1].keys is keys


def test_clone_keeps_output_and_metadata_requests(make, log):
    est = make().set_output(transform="pandas")
    with sklearn.config_context(enable_metadata_routing=True):
        est.set_fit_request(groups=True)
        assert clone(est).get_metadata_routing().fit.requests["groups"] is True
    assert isinstance(clone(est).fit(log.train).transform(log.test), pd.DataFrame)


def test_grid_search_on_a_memmap_copies_no_keys(
    make, log, mapped_keys, tmp_path, monkeypatch
):
    dumps = tmp_path / "joblib"
    dumps.mkdir()
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(dumps))
    dumped = []
    dump = joblib.dump
    monkeypatch.setattr(
        "joblib._memmapping_reducer.dump",
        lambda value, *args, **kwargs: (
            dumped.append(value.nbytes),
            dump(value, *args, **kwargs),
        )[1],
    )
    search = GridSearchCV(
        make(keys=mapped_keys, max_epochs=2),
        {"hidden_layer_sizes": [(8,), (8, 8)], "lr": [1e-3, 1e-2]},
        cv=2,
        n_jobs=2,
        scoring=recall_at_k_scorer(5),
    ).fit(log.train)
    assert search.best_estimator_.keys is mapped_keys
    assert search.best_estimator_.keys_ is mapped_keys
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert dumped == []


def test_grid_search_default_score_and_groups(make, log):
    search = GridSearchCV(make(), {"lr": [1e-4, 1e-2]}, cv=GroupKFold(2))
    search.fit(log.train, groups=log.groups)
    assert 0 <= search.best_score_ <= 1
    with sklearn.config_context(enable_metadata_routing=True):
        est = make(early_stopping=True).set_fit_request(groups=True)
        scores = cross_val_score(
            est, log.train, cv=GroupKFold(2), params={"groups": log.groups}
        )
    assert scores.shape == (2,)


def test_pipeline(make, log):
    pipe = make_pipeline(Normalizer(), make()).fit(log.train)
    assert pipe.predict(log.test).shape[0] == 200
    assert pipe.transform(log.test).shape == (200, 12)
    assert 0 <= pipe.score(log.test) <= 1
    scorer = recall_at_k_scorer(1)
    assert scorer(pipe, log.test) == pipe.score(log.test)
    assert scorer(make_pipeline(make()).fit(log.train), log.test) >= 0


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_data_frames(make, log, container):
    names = [f"f{i}" for i in range(12)]
    frame = (pd.DataFrame if container == "pandas" else pl.DataFrame)(
        {name: column for name, column in zip(names, log.train.T, strict=True)}
    )
    est = make(n_partitions=3).fit(frame).set_output(transform=container)
    assert est.feature_names_in_.tolist() == names
    assert est.get_feature_names_out().tolist() == names
    mapped = est.transform(frame)
    assert isinstance(mapped, type(frame))
    assert list(mapped.columns) == names
    assert 0 < est.score(frame) <= 1
    of_arrays = make(n_partitions=3).fit(log.train).predict(log.train)
    np.testing.assert_allclose(est.predict(frame), of_arrays, rtol=1e-4, atol=1e-6)


def test_keys_of_a_data_frame(make, log):
    est = make(keys=pd.DataFrame(log.keys)).fit(log.train)
    np.testing.assert_array_equal(
        est.predict(log.test), make().fit(log.train).predict(log.test)
    )


@pytest.mark.parametrize("dump", [pickle, joblib])
def test_pickle(make, log, tmp_path, dump):
    est = make(n_partitions=4, early_stopping=True, verbose=0).fit(log.train)
    with open(tmp_path / "est", "wb") as file:
        dump.dump(est, file)
    with open(tmp_path / "est", "rb") as file:
        copy = dump.load(file)
    np.testing.assert_array_equal(copy.predict(log.test), est.predict(log.test))
    np.testing.assert_array_equal(copy.search(log.test)[1], est.search(log.test)[1])
    copy.partial_fit(log.train)
    # The queries of the fit are not in the file, and the keys are once.
    size = (tmp_path / "est").stat().st_size
    weights = sum(p.numel() for p in est.net_.module_.parameters())
    assert size < log.keys.nbytes + 3 * 4 * weights + 60_000


def test_html_and_text_representation(make, log, mapped_keys):
    est = make(keys=mapped_keys)
    assert type(est).__name__ in repr(est)
    assert type(est).__name__ in estimator_html_repr(est)
    assert len(estimator_html_repr(est.fit(log.train))) < 200_000


@pytest.mark.parametrize("n_partitions", [1, 4])
def test_names_of_features_with_early_stopping(make, log, n_partitions):
    names = [f"f{i}" for i in range(12)]
    est = make(early_stopping=True, n_partitions=n_partitions)
    est.fit(pd.DataFrame(log.train, columns=names))
    np.testing.assert_array_equal(est.feature_names_in_, names)


def test_tags(make):
    est = make()
    tags = est.__sklearn_tags__()
    assert is_regressor(est)
    assert not tags.target_tags.required
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]


def test_meta_estimators(log):
    est = KeyNetRegressor(log.keys, max_epochs=2, random_state=0)
    scaled = TransformedTargetRegressor(est, func=np.negative, inverse_func=np.negative)
    scaled.fit(log.train, log.train)
    assert scaled.predict(log.test).shape == (200, 12)


def test_inputs_are_not_written(make, log):
    keys, X = log.keys.copy(), log.train.copy()
    make(keys=keys, n_partitions=4).fit(X, sample_weight=np.ones(1000)).search(X)
    np.testing.assert_array_equal(keys, log.keys)
    np.testing.assert_array_equal(X, log.train)
