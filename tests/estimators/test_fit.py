"""Fitting: targets, weights, validation, continuation, reproducibility."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.metrics import routing_recall_scorer
from sk_amips.training import TrainingData


def weights_of(est):
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in parameters(est)])


def parameters(est):
    return est.net_.module_.parameters()


@pytest.mark.parametrize("n_partitions", [1, 8])
def test_learns(make, log, n_partitions):
    est = make(
        n_partitions=n_partitions, hidden_layer_sizes=(64,), lr=3e-3, batch_size=100
    )
    few = est.fit(log.train).score(log.test)
    many = est.set_params(max_epochs=60).fit(log.train).score(log.test)
    assert est.loss_curve_[-1] < est.loss_curve_[0] / 2
    # By chance it is 1/400 with one partition, 1/8 with eight.
    assert many > max(0.2, 2 * few if n_partitions == 1 else few)


def test_supportnet_predicts_scores(log):
    est = SupportNetRegressor(
        log.keys, max_epochs=100, lr=5e-3, batch_size=100, random_state=0
    )
    scores, _ = exact_search(log.keys, log.test)
    error = est.fit(log.train).predict(log.test) - scores[:, 0]
    assert np.square(error).mean() < 0.05 * scores.var()


def test_fitted_attributes(make, log):
    est = make(n_partitions="sqrt").fit(log.train)
    assert est.n_features_in_ == 12
    assert est.n_iter_ == len(est.loss_curve_) == len(est.history_) == 3
    assert est.partition_.n_partitions == 20
    assert est.partition_.labels_.shape == (400,)
    assert est.keys_ is log.keys


def test_same_seed_same_result_and_no_global_state(make, log):
    np.random.seed(3)  # noqa: NPY002 - the state that must not be touched
    torch.manual_seed(3)
    before = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    first = weights_of(make(n_partitions=5).fit(log.train))
    after = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(after, before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    np.testing.assert_array_equal(
        weights_of(make(n_partitions=5).fit(log.train)), first
    )
    other = weights_of(make(n_partitions=5, random_state=1).fit(log.train))
    assert not np.array_equal(other, first)


def test_given_targets_equal_searched_ones(make, log):
    scores, best = exact_search(log.keys, log.train)
    searched = make(keys=log.keys).fit(log.train)
    given = make(keys=log.keys).fit(log.train, log.keys[best[:, 0]])
    np.testing.assert_allclose(
        given.transform(log.test), searched.transform(log.test), rtol=1e-4, atol=1e-5
    )
    alone = make(key_weight=0).fit(log.train, scores[:, 0])
    assert np.isfinite(alone.loss_curve_).all()


def test_given_targets_are_what_is_learned(log):
    target = 3.0 * np.abs(log.train).sum(axis=1)
    est = SupportNetRegressor(
        log.keys, max_epochs=60, lr=3e-3, batch_size=100, random_state=0
    )
    predicted = est.fit(log.train, target).predict(log.test)
    truth = 3.0 * np.abs(log.test).sum(axis=1)
    assert np.corrcoef(predicted, truth)[0, 1] > 0.9


def test_sample_weight_zero_leaves_queries_out(make, log):
    weight = np.r_[np.ones(500), np.zeros(500)]
    est = make(batch_size=1000, max_epochs=20)
    weighted = est.fit(log.train, sample_weight=weight).predict(log.test)
    est = make(batch_size=1000, max_epochs=20)
    subset = est.fit(log.train[:500]).predict(log.test)
    np.testing.assert_allclose(weighted, subset, rtol=1e-3, atol=1e-3)


def test_sample_weight_unit_does_not_matter(make, log):
    weight = np.random.default_rng(0).integers(1, 5, 1000)
    first = make().fit(log.train, sample_weight=weight).predict(log.test)
    second = make().fit(log.train, sample_weight=10 * weight).predict(log.test)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_query_norm_does_not_matter(make, log):
    stretch = np.random.default_rng(0).uniform(0.1, 10, size=(1000, 1))
    first = make().fit(log.train).predict(log.test)
    second = make().fit(log.train * stretch).predict(log.test)
    np.testing.assert_allclose(first, second, rtol=1e-2, atol=1e-2)


def test_unit_of_keys_does_not_matter(make, log):
    first = make().fit(log.train).transform(log.test)
    second = make(keys=log.keys * 1000).fit(log.train).transform(log.test)
    np.testing.assert_allclose(second / 1000, first, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("n_partitions", "scoring", "watched"),
    [
        (1, "loss", "valid_loss"),
        (8, "loss", "valid_loss"),
        (1, "auto", "valid_match_rate"),
        (8, "match_rate", "valid_match_rate"),
        (8, "auto", "valid_routing_recall"),
    ],
)
def test_early_stopping_restores_the_best(make, log, n_partitions, scoring, watched):
    # Without a schedule, a shorter fit takes the same steps as the start of a longer.
    est = make(early_stopping=True, lr_schedule=None, lr=0.1, n_iter_no_change=3)
    est.set_params(n_partitions=n_partitions, scoring=scoring, score_temperature=None)
    est.set_params(max_epochs=200, ema_decay=0.5).fit(log.train)
    valid = np.array(est.history_[:, watched])
    best = int(valid.argmin() if watched == "valid_loss" else valid.argmax())
    assert est.n_iter_ == len(valid) < 200
    stopped = weights_of(est)
    again = est.set_params(max_epochs=best + 1).fit(log.train)
    np.testing.assert_allclose(weights_of(again), stopped, rtol=1e-5, atol=1e-6)


def test_watched_metrics_are_those_of_the_validation_queries(make, log):
    est = make(early_stopping=True, max_epochs=1).fit(log.train, X_val=log.test)
    score = est.score(log.test)
    assert est.history_[-1, "valid_match_rate"] == pytest.approx(score)
    est.set_params(n_partitions=36, max_epochs=1).fit(log.train, X_val=log.test)
    recall = routing_recall_scorer(p=3)(est, log.test)
    assert est.history_[-1, "valid_routing_recall"] == pytest.approx(recall)


@pytest.mark.parametrize("n_partitions", [1, 8])
def test_watched_metrics_are_weighted(make, log, n_partitions):
    """Queries without weight have no say, in training or in validation."""
    weight = np.zeros(len(log.train))
    weight[::2] = 1.0
    params = {"early_stopping": True, "n_partitions": n_partitions, "max_epochs": 1}
    est = make(**params).fit(log.train, sample_weight=weight)
    name = f"valid_{'routing_recall' if n_partitions > 1 else 'match_rate'}"
    split = TrainingData.split
    seen = []

    def spy(*args, **kwargs):
        seen.extend(split(*args, **kwargs))
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingData, "split", spy)
        est = make(**params).fit(log.train, sample_weight=weight)
    rows = seen[1].rows
    judged = log.train[rows[weight[rows] > 0]]
    value = (
        routing_recall_scorer(1)(est, judged) if n_partitions > 1 else est.score(judged)
    )
    assert est.history_[-1, name] == pytest.approx(value)


def test_divergence_is_named_with_early_stopping(make, log):
    est = make(lr=1e30, early_stopping=True, n_partitions=8)
    with pytest.raises(ValueError, match="diverged"):
        est.fit(log.train)


def test_routing_loss_alone(log):
    params = {"score_weight": 0.0, "routing_weight": 1.0, "random_state": 0}
    est = SupportNetRegressor(log.keys, n_partitions=8, max_epochs=30, **params)
    est.fit(log.train)
    assert est.score(log.test) > 0.5
    with pytest.raises(ValueError, match="must not all be zero"):
        est.set_params(n_partitions=1, key_weight=0.0).fit(log.train)


def test_unit_of_keys_does_not_matter_to_a_router(make, log):
    curves = [
        make(keys=unit * log.keys, n_partitions=8).fit(log.train).loss_curve_
        for unit in (1.0, 1000.0)
    ]
    np.testing.assert_allclose(*curves, rtol=1e-3)


def test_given_targets_are_stopped_by_their_loss(make, log):
    est = make(early_stopping=True).fit(log.train, np.ones(len(log.train)))
    assert "valid_match_rate" not in est.history_[-1]
    assert "valid_loss_best" in est.history_[-1]
    est.fit(log.train, np.ones(len(log.train)), X_val=log.test)
    assert "valid_match_rate" in est.history_[-1]


def test_one_partition_has_no_routing_recall(make, log):
    est = make(early_stopping=True, scoring="routing_recall")
    with pytest.raises(ValueError, match="needs several partitions"):
        est.fit(log.train)


def test_validation_keeps_groups_together(make, log, monkeypatch):
    seen = []

    def spy(*args, **kwargs):
        seen.extend(split(*args, **kwargs))
        return seen

    split = TrainingData.split
    monkeypatch.setattr(TrainingData, "split", spy)
    est = make(early_stopping=True, validation_fraction=0.3)
    est.fit(log.train, groups=log.groups)
    train, valid = (part.rows for part in seen)
    assert not set(log.groups[train]) & set(log.groups[valid])
    assert sorted([*train, *valid]) == list(range(len(log.train)))


def test_given_validation_queries(make, log):
    est = make().fit(log.train, X_val=log.test)
    assert len(est.history_[:, "valid_loss"]) == 3
    assert len(est.net_.history) == 3


def test_callbacks_and_net_params(make, log):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    count = Count()
    est = make(callbacks=[count], net_params={"optimizer__weight_decay": 0.5})
    est.fit(log.train)
    assert count.epochs == 3
    assert est.net_.optimizer_.param_groups[0]["weight_decay"] == 0.5
    assert make(net_params={"max_epochs": 5}).fit(log.train).n_iter_ == 5


def test_early_stopping_of_skorch_still_stops(make, log):
    stop = EarlyStopping("train_loss", patience=1, threshold=1.0, sink=str)
    assert make(max_epochs=50, callbacks=[stop]).fit(log.train).n_iter_ < 50


def test_keyboard_interrupt_is_passed_on(make, log):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(callbacks=[Interrupt()]).fit(log.train)


def test_silent_unless_verbose(make, log, capsys):
    make().fit(log.train)
    assert capsys.readouterr() == ("", "")
    make(verbose=1).fit(log.train)
    out, err = capsys.readouterr()
    assert out == ""
    assert make.cls.__name__ in err
    assert "train_loss" in err


def test_history_has_each_term_of_the_loss(make, log):
    est = make(n_partitions=4, key_weight=2.0, routing_weight=0.1)
    est.fit(log.train, X_val=log.test)
    for prefix in ("train", "valid"):
        terms = [est.history_[:, f"{prefix}_{t}_loss"] for t in ("score", "key")]
        terms.append(est.history_[:, f"{prefix}_routing_loss"])
        assert np.min(terms) > 0
        np.testing.assert_allclose(
            np.sum(terms, axis=0), est.history_[:, f"{prefix}_loss"], rtol=1e-5
        )


def test_schedule_and_average_are_used_by_fit_alone(make, log):
    est = make(lr=0.01, max_epochs=4, batch_size=250)
    rates = []

    class Watch(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training:
                rates.append(net.optimizer_.param_groups[0]["lr"])

    est.set_params(callbacks=[Watch()]).fit(log.train)
    assert len(rates) == 16
    assert max(rates) == 0.01
    assert rates[-1] < 0.001
    est.partial_fit(log.train)
    assert rates[16:] == [0.01] * 4
    plain = make(ema_decay=None).fit(log.train)
    averaged = make(ema_decay=0.9).fit(log.train)
    assert not np.array_equal(weights_of(plain), weights_of(averaged))


@pytest.mark.parametrize("unit", [1e-25, 1e20])
def test_keys_of_extreme_norm(make, log, unit):
    usual = make(n_partitions=1).fit(log.train)
    extreme = make(keys=log.keys.astype(float) * unit).fit(log.train)
    np.testing.assert_allclose(
        extreme.transform(log.test.astype(float)) / unit,
        usual.transform(log.test),
        rtol=1e-3,
        atol=1e-3,
    )
    assert extreme.score(log.test) == pytest.approx(usual.score(log.test), abs=0.02)


def test_a_column_is_a_key_for_a_keynet():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(500, 1))
    target = np.where(queries > 0, 5.0, -3.0)
    est = KeyNetRegressor(
        [[5.0], [-3.0]], max_epochs=150, batch_size=50, lr=0.01, random_state=0
    ).fit(queries, target)
    np.testing.assert_allclose(est.predict(queries), target, atol=0.2)


@pytest.mark.parametrize("convexity", ["strict", "soft", None])
def test_convexity_modes(log, convexity):
    est = SupportNetRegressor(
        log.keys, convexity=convexity, max_epochs=3, n_partitions=4, random_state=0
    ).fit(log.train)
    x, y = log.test[:100].astype(float), log.test[100:].astype(float)
    np.testing.assert_allclose(est.predict(3 * x), 3 * est.predict(x), rtol=1e-5)
    if convexity == "strict":
        assert est.net_.module_.is_convex
        chord = (est.predict_partitions(x) + est.predict_partitions(y)) / 2
        assert (est.predict_partitions((x + y) / 2) <= chord + 1e-4).all()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop])
def test_optimizers(make, log, optimizer):
    est = make(optimizer=optimizer).fit(log.train)
    assert est.loss_curve_[-1] < est.loss_curve_[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(make, log):
    est = make(n_partitions=4, device="cuda", max_epochs=20).fit(log.train)
    cpu = make(n_partitions=4, device="cpu", max_epochs=20).fit(log.train)
    assert next(parameters(est)).is_cuda
    np.testing.assert_allclose(est.predict(log.test), cpu.predict(log.test), rtol=0.05)
    np.testing.assert_array_equal(est.search(log.test)[1], cpu.search(log.test)[1])


def test_keynet_residual(log):
    est = KeyNetRegressor(log.keys, residual=True, max_epochs=3, random_state=0)
    assert np.isfinite(est.fit(log.train).predict(log.test)).all()


@pytest.mark.parametrize("params", [{}, {"n_partitions": 4, "top_k": 3}])
def test_searched_targets_are_kept(monkeypatch, tmp_path, make, log, params):
    """The second fit reads them, and learns the same."""
    first = make(memory=str(tmp_path), **params).fit(log.train)
    lists = first.partition_  # which are not kept
    monkeypatch.setattr(
        "sk_amips.routing._base.spherical_kmeans", lambda *_, **__: lists
    )
    monkeypatch.setattr("sk_amips.exact._search.scan", None)
    monkeypatch.setattr("sk_amips.exact._per_partition._tile", None)
    second = make(memory=str(tmp_path), **params).fit(log.train)
    np.testing.assert_array_equal(second.transform(log.test), first.transform(log.test))
    with pytest.raises(TypeError):
        make(**params).fit(log.train)
