"""Steps of training: callbacks that watch them, execution, precision, optimizers."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring, GradientNormClipping

from sk_amips.training import AmipsNet, _run


def weights_of(est):
    return [p.detach().clone() for p in est.net_.module_.parameters()]


class Watch(Callback):
    """Notes what happens in each batch."""

    def __init__(self):
        self.begun, self.losses, self.norms, self.shapes = [], [], [], []

    def on_batch_begin(self, net, batch, training, **kwargs):
        self.begun.append((len(batch[0]["x"]), training))

    def on_grad_computed(self, net, named_parameters, batch, training, **kwargs):
        gradients = [p.grad.flatten() for _, p in named_parameters]
        self.norms.append(float(torch.cat(gradients).norm()))

    def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
        self.losses.append(float(loss))
        self.shapes.append([None if part is None else part.shape for part in y_pred])


SETTINGS = [
    pytest.param({}, id="one"),
    pytest.param({"n_partitions": 4, "key_weight": 2.0, "routing_weight": 0.1}),
    pytest.param({"n_partitions": 4, "matched_partitions": 2, "key_weight": 1.0}),
]


@pytest.mark.parametrize("params", SETTINGS)
def test_watched_batches_train_the_same(make, log, params):
    watch = Watch()
    options = {"batch_size": 300, "max_epochs": 3, **params}
    plain = make(**options).fit(log.train, X_val=log.test)
    watched = make(callbacks=[watch], **options).fit(log.train, X_val=log.test)
    assert all(map(torch.equal, weights_of(plain), weights_of(watched)))
    names = ["train_loss", "valid_loss", "train_score_loss", "train_key_loss"]
    for name in names:
        np.testing.assert_allclose(
            plain.history_[:, name], watched.history_[:, name], rtol=1e-6
        )
    epoch = [(300, True)] * 3 + [(100, True), (200, False)]
    assert watch.begun == 3 * epoch
    assert len(watch.losses) == len(watch.shapes) == len(watch.begun)
    # Gradients are seen as the optimizer takes them, clipped to one.
    assert len(watch.norms) == 12
    assert max(watch.norms) <= 1 + 1e-5


def test_one_batch_of_history_an_epoch_unless_watched(make, log):
    options = {"batch_size": 300, "max_epochs": 2}
    plain = make(**options).fit(log.train, X_val=log.test).history_
    assert [len(epoch["batches"]) for epoch in plain] == [2, 2]
    assert plain[0, "batches", 0, "train_batch_size"] == 1000
    assert plain[0, "batches", 1, "valid_batch_size"] == 200
    watched = make(callbacks=[Watch()], **options).fit(log.train, X_val=log.test)
    history = watched.history_
    assert [len(epoch["batches"]) for epoch in history] == [5, 5]
    for name in ("train_batch_count", "valid_batch_count"):
        assert plain[:, name] == history[:, name]


def loss_of(net, dataset, y):
    """Mean loss of a data set by what skorch has for it."""
    losses, sizes = [], []
    for x, y in net.get_iterator(dataset):
        predicted = net.evaluation_step((x, y))
        losses.append(net.get_loss(predicted, y, X=x).item())
        sizes.append(len(x["x"]))
    return np.average(losses, weights=sizes)


def test_scorers_of_skorch(make, log):
    again = EpochScoring(loss_of, name="again", use_caching=False)
    est = make(max_epochs=2, callbacks=[again]).fit(log.train, X_val=log.test)
    np.testing.assert_allclose(
        est.history_[:, "again"], est.history_[:, "valid_loss"], rtol=1e-5
    )


def test_gradients_are_clipped_unless_told_otherwise(make, log):
    options = {"optimizer": "sgd", "lr": 1e-2}
    usual = weights_of(make(**options).fit(log.train))
    for norm, same in ((1.0, True), (None, False), (1e-6, False)):
        est = make(net_params={"clip_norm": norm}, **options).fit(log.train)
        assert all(map(torch.equal, usual, weights_of(est))) == same
    twice = make(callbacks=[GradientNormClipping(1e-6)], **options).fit(log.train)
    torch.testing.assert_close(weights_of(twice), weights_of(est))


def rates(net):
    return [group["lr"] for group in net.optimizer_.param_groups]


def test_rates_come_back_when_training_fails(make, log):
    est = make(lr=0.01)
    nets = []

    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            nets.append(net)
            if rates(net) != [0.01]:
                raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        est.set_params(callbacks=[Fail()]).fit(log.train)
    assert rates(nets[-1]) == [0.01]


def test_warmup_is_a_parameter_of_the_net(make, log):
    fits = [make(net_params={"warmup": w}).fit(log.train) for w in (0.05, 1.0)]
    one, other = map(weights_of, fits)
    assert not all(map(torch.equal, one, other))


def test_what_a_cpu_cannot_do(make, log):
    est = make(device="cpu").fit(log.train)
    before = est.predict(log.test)
    with pytest.raises(ValueError, match="execution='graph' needs a CUDA device"):
        est.set_params(execution="graph").fit(log.train)
    with pytest.raises(ValueError, match="precision='tf32' needs a CUDA device"):
        est.set_params(execution="auto", precision="tf32").fit(log.train)
    np.testing.assert_array_equal(est.predict(log.test), before)


def test_execution_and_precision_may_change_in_between(make, log):
    est = make(warm_start=True).fit(log.train)
    steps = est.net_.optimizer_.state_dict()["state"][0]["step"].item()
    est.set_params(execution="eager", precision="bfloat16").fit(log.train)
    assert est.net_.precision == "bfloat16"
    assert est.net_.optimizer_.state_dict()["state"][0]["step"] == 2 * steps
    assert all(p.dtype == torch.float32 for p in weights_of(est))


@pytest.mark.parametrize("n_partitions", [1, 8])
def test_bfloat16_learns_nearly_the_same(make, log, n_partitions):
    options = {"n_partitions": n_partitions, "max_epochs": 10, "batch_size": 100}
    full = make(**options).fit(log.train)
    half = make(precision="bfloat16", **options).fit(log.train)
    assert not all(map(torch.equal, weights_of(full), weights_of(half)))
    assert half.loss_curve_[-1] == pytest.approx(full.loss_curve_[-1], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("params", [*SETTINGS, {"n_partitions": 8}])
# The compiler of torch uses what torch has deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_compiled_steps_train_nearly_the_same(make, log, params):
    options = {"batch_size": 300, **params}
    eager = make(**options).fit(log.train)
    compiled = make(execution="compile", **options).fit(log.train)
    torch.testing.assert_close(
        compiled.net_.module_.state_dict(), eager.net_.module_.state_dict()
    )


def test_adam_is_fused_unless_told_otherwise(make, log):
    def is_fused(**params):
        net = make(max_epochs=1, **params).fit(log.train).net_
        return bool(net.optimizer_.param_groups[0].get("fused"))

    assert is_fused(optimizer="adam")
    assert is_fused(optimizer="adamw")
    assert is_fused(net_params={"optimizer": torch.optim.Adam})
    assert not is_fused(optimizer="sgd")
    assert not is_fused(optimizer=torch.optim.RMSprop)
    assert not is_fused(net_params={"optimizer": torch.optim.RMSprop})
    assert not is_fused(net_params={"optimizer__fused": None})
    assert not is_fused(net_params={"optimizer__foreach": True})


def test_a_pickle_goes_on_with_a_new_optimizer(make, log):
    """From the same weights; save(optimizer=True) keeps the optimizer as well."""
    est = make().fit(log.train)
    copy = pickle.loads(pickle.dumps(est))
    assert all(map(torch.equal, weights_of(est), weights_of(copy)))
    assert copy.net_.optimizer_.param_groups[0]["fused"]
    assert not copy.net_.optimizer_.state
    for one in (est, copy):
        one.partial_fit(log.test)
    for ours, theirs in zip(weights_of(est), weights_of(copy), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)


class Save(Callback):
    """Keeps the net as it is while it is trained."""

    def on_epoch_end(self, net, **kwargs):
        self.saved = None
        self.saved = pickle.dumps(net)


def test_a_net_can_be_saved_while_it_is_trained(make, log):
    save = Save()
    make(callbacks=[save]).fit(log.train)
    assert isinstance(pickle.loads(save.saved), AmipsNet)


def test_lbfgs_asks_for_several_losses(make, log):
    options = {"optimizer": torch.optim.LBFGS, "lr": 0.1, "batch_size": 1000}
    est = make(net_params={"optimizer__max_iter": 4}, **options).fit(log.train)
    losses = [est.history_[:, f"train_{name}loss"] for name in ("", "score_", "key_")]
    np.testing.assert_allclose(np.add(*losses[1:]), losses[0], rtol=1e-6)
    losses = make(optimizer="sgd", batch_size=1000).fit(log.train).loss_curve_
    # That of the weights as they were, and not of those tried in between.
    assert est.loss_curve_[0] == pytest.approx(losses[0])


def test_rates_follow_an_optimizer_that_a_callback_loaded(make, log):
    """Loading its state gives an optimizer other groups of parameters."""

    class Load(Callback):
        rates = ()

        def on_train_begin(self, net, **kwargs):
            net.optimizer_.load_state_dict(net.optimizer_.state_dict())

        def on_epoch_end(self, net, **kwargs):
            self.rates += (net.optimizer_.param_groups[0]["lr"],)

    load = Load()
    est = make(callbacks=[load], lr=1e-2).fit(log.train)
    assert load.rates[-1] < load.rates[0] <= 1e-2
    assert est.net_.optimizer_.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize("change", ["requires_grad", "key_weight"])
def test_gradients_are_made_anew_where_a_callback_changes_them(
    monkeypatch, make, log, change
):
    made = []

    def make_gradients(*args, make=_run.make_gradients, **kwargs):
        made.append(1)
        return make(*args, **kwargs)

    monkeypatch.setattr(_run, "make_gradients", make_gradients)

    class Change(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2 and change == "key_weight":
                net.criterion_.key_weight = 0.5
            elif len(net.history) == 2:
                next(net.module_.parameters()).requires_grad_(False)

    make(callbacks=[Change()], max_epochs=4).fit(log.train)
    assert len(made) == 2


@pytest.mark.parametrize("clip_norm", [0, -1.0])
def test_bad_clip_norm(make, log, clip_norm):
    with pytest.raises(
        ValueError, match=f"clip_norm must be above 0 .*got {clip_norm}"
    ):
        make(net_params={"clip_norm": clip_norm}).fit(log.train)


@pytest.mark.parametrize("name", ["execution", "precision"])
def test_net_params_do_not_go_round_the_checks(make, log, name):
    with pytest.raises(ValueError, match=f"net_params cannot set '{name}'"):
        make(net_params={name: "fast"}).fit(log.train)
