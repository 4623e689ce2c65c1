"""Going on after a fit: partial_fit, warm starts, and fits that break off."""

import threading

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback


class Raise(Callback):
    """Raises an error once some epochs have been trained."""

    def __init__(self, error, at_epoch):
        self.error = error
        self.at_epoch = at_epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.at_epoch:
            raise self.error


def test_partial_fit_goes_on(make, log):
    est = make().partial_fit(log.train[:500])
    keys, partition, before = est.keys_, est.partition_, est.transform(log.test)
    assert est.n_iter_ == 1
    est.partial_fit(log.train[500:])
    assert est.n_iter_ == len(est.loss_curve_) == 2
    assert est.keys_ is keys
    assert est.partition_ is partition
    assert not np.array_equal(est.transform(log.test), before)
    assert est.fit(log.train).n_iter_ == 3


def test_partial_fit_without_keys_keeps_the_first_queries(make, log):
    est = make(keys=None).partial_fit(log.train[:500]).partial_fit(log.train[500:])
    assert len(est.keys_) == 500


def test_scores_alone_do_not_end_the_learning_of_keys(make, log):
    est = make(key_weight=1.0).partial_fit(log.train, np.ones(1000))
    assert "train_key_loss" not in est.history_[-1]
    est.partial_fit(log.train)
    assert est.history_[-1, "train_key_loss"] > 0


def n_steps(est):
    """Steps that the optimizer has taken."""
    return int(est.net_.optimizer_.state_dict()["state"][0]["step"])


def test_warm_start(make, log):
    est = make(warm_start=True).fit(log.train)
    assert est.fit(log.train).n_iter_ == 6
    assert make().fit(log.train).fit(log.train).n_iter_ == 3


def test_warm_start_keeps_top_k(make, log):
    est = make(warm_start=True, top_k=2).fit(log.train)
    with pytest.raises(ValueError, match="sums of 2 keys, top_k is now 3"):
        est.set_params(top_k=3).fit(log.train)
    assert est.n_summed_ == 2


def test_warm_start_takes_over_weights_of_the_loss(make, log):
    est = make(n_partitions=4, warm_start=True).fit(log.train)
    steps = n_steps(est)
    est.set_params(routing_weight=0.1, score_weight=0.0, key_weight=2.0).fit(log.train)
    assert n_steps(est) == 2 * steps > 0
    last = est.history_[-1]
    assert last["train_routing_loss"] > 0
    assert last["train_key_loss"] > 0
    assert last["train_score_loss"] == 0


def test_warm_start_takes_over_parameters_of_training(make, log):
    est = make(warm_start=True).fit(log.train)
    steps = n_steps(est)
    est.set_params(
        lr=1e-9, batch_size=7, early_stopping=True, n_iter_no_change=2, max_epochs=50
    )
    est.fit(log.train)
    assert n_steps(est) > steps > 0
    assert est.net_.optimizer_.param_groups[0]["lr"] == 1e-9
    assert est.net_.batch_size == 7
    # With such a learning rate nothing improves, and two epochs without end it.
    assert est.n_iter_ == 3 + 1 + 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_partitions", 3),
        ("partition", np.arange(400) % 5),
        ("hidden_layer_sizes", (16,)),
        ("activation", "relu"),
        ("inject_every", None),
        ("keys", np.ones((7, 12))),
    ],
)
def test_warm_start_needs_the_same_network(make, log, name, value):
    est = make(warm_start=True).fit(log.train)
    before = est.transform(log.test)
    with pytest.raises(ValueError, match=r"changed .*warm_start=False"):
        est.set_params(**{name: value}).fit(log.train)
    np.testing.assert_array_equal(est.transform(log.test), before)
    est.set_params(warm_start=False).fit(log.train)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("going_on", [False, True])
def test_a_fit_that_breaks_off_changes_nothing(make, log, error, going_on):
    est = make(warm_start=going_on).fit(log.train)
    before = est.transform(log.test)
    weights = [p.clone() for p in est.net_.module_.parameters()]
    est.set_params(max_epochs=9, callbacks=[Raise(error, 5)])
    with pytest.raises(error):
        est.fit(log.train)
    np.testing.assert_array_equal(est.transform(log.test), before)
    for now, then in zip(est.net_.module_.parameters(), weights, strict=True):
        assert now.equal(then)
    assert est.n_iter_ == len(est.history_) == len(est.loss_curve_) == 3
    est.set_params(callbacks=None).fit(log.train)
    assert est.n_iter_ == len(est.loss_curve_) == (12 if going_on else 9)


def test_a_first_fit_that_breaks_off_leaves_it_unfitted(make, log):
    est = make(callbacks=[Raise(KeyboardInterrupt, 2)])
    with pytest.raises(KeyboardInterrupt):
        est.fit(log.train)
    assert not [name for name in vars(est) if name.endswith("_")]


def test_bad_queries_leave_a_fitted_estimator_as_it_was(make, log):
    est = make(n_partitions=4).fit(log.train)
    before = est.predict(log.test)
    for bad in (log.train[:, :5], np.full((9, 12), np.nan)):
        with pytest.raises(ValueError, match=r"features|NaN"):
            est.fit(bad)
        np.testing.assert_array_equal(est.predict(log.test), before)


def test_divergence_is_an_error(make, log):
    with pytest.raises(ValueError, match=r"diverged in epoch .*lr"):
        make(lr=1e30).fit(log.train)


def test_predicts_as_before_while_it_is_fitted_anew(make, log):
    est = make(n_partitions=3).fit(log.train)
    before = est.predict(log.test)
    during = []

    class Serve(Callback):
        def on_epoch_end(self, net, **kwargs):
            thread = threading.Thread(
                target=lambda: during.append(est.predict(log.test))
            )
            thread.start()
            thread.join()

    est.set_params(n_partitions=5, callbacks=[Serve()]).fit(log.train)
    assert len(during) == 3
    for result in during:
        np.testing.assert_array_equal(result, before)
    assert not np.array_equal(est.predict(log.test), before)


def test_a_failed_warm_fit_changes_nothing(make, log):
    est = make(n_partitions=4, warm_start=True).fit(log.train)
    before = est.predict_partitions(log.test), est.random_state_.get_state()[1].copy()
    lr = est.net_.lr
    with pytest.raises(ValueError, match="diverged"):
        est.set_params(lr=1e30, score_weight=7.0).fit(log.train)
    np.testing.assert_array_equal(est.predict_partitions(log.test), before[0])
    np.testing.assert_array_equal(est.random_state_.get_state()[1], before[1])
    assert est.net_.lr == lr
    assert est.net_.criterion_.score_weight == 1.0
    assert est.n_iter_ == 3


def test_going_on_does_not_train_the_network_in_use(make, log):
    """What searches meanwhile has the network as it was."""
    est = make(n_partitions=4).fit(log.train)
    net = est.net_
    before = [p.clone() for p in net.module_.parameters()]
    est.partial_fit(log.train)
    assert est.net_ is not net
    assert all(map(torch.equal, before, net.module_.parameters()))
    assert n_steps(est) > 0
