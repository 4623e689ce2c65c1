"""Fits that one process and several are compared by.

As a script, which is started once a process, it saves what each of them has learned to
``<folder>/<rank>.npz``. With "cuda" for a second argument steps are replays of graphs.
"""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from sk_amips import KeyNetRegressor, SupportNetRegressor

N, N_VAL, D = 601, 45, 8
RNG = np.random.default_rng(0)
KEYS = RNG.normal(size=(200, D)).astype(np.float32)
QUERIES = RNG.normal(size=(N, D)).astype(np.float32)
OTHERS = RNG.normal(size=(N_VAL, D)).astype(np.float32)
# Most of the weight, and of its sources, lies in one half.
WEIGHT = np.where(np.arange(N) < N // 2, 5.0, 0.1)
FIELDS = ("queries", "scores", "best", "threshold", "best_lists", "weight")


class Labels(Callback):
    """Keeps the data that a net is trained on."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.arrays = {name: X.field(name) for name in FIELDS}


class Seen(Callback):
    """Looks at batches, so that each of them is in the history."""

    n_rows = 0

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.n_rows += training * len(batch[0]["x"])


OPTIONS = {
    "hidden_layer_sizes": (8,),
    # Batches of 50 and one of a single query.
    "batch_size": 50,
    "max_epochs": 2,
    "noisy_queries": 0,
    "noisy_keys": 0,
    "random_state": 0,
    "device": "cpu",
}
SGD = {"optimizer": "sgd", "lr": 0.05}
LISTS = {"n_partitions": 6}
STOPPING = {
    "early_stopping": True,
    "max_epochs": 30,
    "n_iter_no_change": 2,
    "lr": 0.02,
}
SUPPORT, KEY = SupportNetRegressor, KeyNetRegressor
# Estimator, its parameters, and what its fit takes beside queries.
CASES = {
    "sgd": (SUPPORT, SGD, {}),
    "adamw": (SUPPORT, {"lr": 1e-3}, {}),
    "key net": (KEY, {**SGD, **LISTS, "top_k": 3}, {}),
    "tiny clip": (SUPPORT, {**SGD, "net_params": {"clip_norm": 1e-3}}, {}),
    "no clip": (SUPPORT, {**SGD, "net_params": {"clip_norm": None}}, {}),
    "odd batches": (SUPPORT, {**SGD, **LISTS, "batch_size": 47}, {}),
    "batches of one": (SUPPORT, {**SGD, "batch_size": 1, "max_epochs": 1}, {}),
    "all at once": (SUPPORT, {**SGD, "batch_size": 1000}, {}),
    "sampled lists": (
        SUPPORT,
        {**SGD, **LISTS, "matched_partitions": 2, "key_weight": 1.0},
        {},
    ),
    "all lists": (KEY, {**SGD, **LISTS, "matched_partitions": "all"}, {}),
    "weights": (SUPPORT, {**SGD, **LISTS}, {"sample_weight": WEIGHT}),
    "noise": (SUPPORT, {**SGD, **LISTS, "noisy_queries": 0.3, "noisy_keys": 0.2}, {}),
    "lbfgs": (
        SUPPORT,
        {
            "optimizer": torch.optim.LBFGS,
            "lr": 1.0,
            "batch_size": 1000,
            "max_epochs": 1,
            "net_params": {
                "optimizer__max_iter": 4,
                "optimizer__line_search_fn": "strong_wolfe",
            },
        },
        {},
    ),
    "validation": (SUPPORT, {**SGD, "batch_size": 44}, {"X_val": OTHERS}),
    "watched": (SUPPORT, {**SGD, "callbacks": [Seen()]}, {"X_val": OTHERS}),
    "stop by recall": (SUPPORT, {**LISTS, **STOPPING}, {"sample_weight": WEIGHT}),
    "stop by matches": (SUPPORT, {**STOPPING}, {}),
    "stop by loss": (
        SUPPORT,
        {**STOPPING, "scoring": "loss", "lr": 0.05, "ema_decay": None},
        {},
    ),
    "one to validate": (
        SUPPORT,
        {**STOPPING, "max_epochs": 3},
        {"X_val": OTHERS[:1]},
    ),
}


# Those that CUDA graphs are tried by, and how.
GRAPHED = (
    *("sgd", "adamw", "key net", "odd batches", "sampled lists", "weights", "noise"),
    *("no clip", "stop by recall", "stop by matches"),
)
CUDA = {"device": "auto", "execution": "graph", "precision": "float32"}


def fitted(name, accelerator=None, **options):
    """The estimator of a case, fitted, and the labels that it learned from."""
    kind, params, given = CASES[name]
    params, labels = OPTIONS | params | options, Labels()
    params["callbacks"] = [*params.get("callbacks", []), labels]
    if accelerator is not None:
        params |= {"accelerator": accelerator}
    est = kind(KEYS, **params).fit(QUERIES, **given)
    return est, labels.arrays


def learned(name, accelerator=None, **options):
    """What a fit has learned, as arrays."""
    est, labels = fitted(name, accelerator, **options)
    weights = [p.detach().cpu().numpy().ravel() for p in est.net_.module_.parameters()]
    lines = {
        line: np.array(est.history_[:, line])
        for line in est.history_[0]
        if line.endswith("_loss")
        or line in ("valid_match_rate", "valid_routing_recall")
    }
    arrays = {f"label {k}": v for k, v in labels.items() if v is not None}
    arrays |= {f"history {k}": v for k, v in lines.items()}
    return arrays | {
        "weights": np.concatenate(weights),
        "predicted": est.predict(OTHERS),
        "lists": est.partition_.labels_,
        "random": np.array([est.random_state_.randint(2**31 - 1)]),
    }


def message(function):
    """The ValueError of a call."""
    try:
        function()
    except ValueError as error:
        return str(error)
    return ""


class StopOne(Callback):
    """Wants no further epoch, in one of the processes."""

    def __init__(self, rank):
        self.rank = rank

    def on_epoch_end(self, net, **kwargs):
        if self.rank == 1 and len(net.history) == 2:
            net.watch_.stopped = True


def joined(*, cpu=False, backend=None):
    """The accelerator of this process, which does not wait for ever for others."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    group = InitProcessGroupKwargs(backend=backend, timeout=timedelta(seconds=60))
    return Accelerator(cpu=cpu, kwargs_handlers=[group])


def on_gpus(folder):
    # NCCL does not have two processes on one GPU.
    alone = torch.cuda.device_count() < 2
    accelerator = joined(backend="gloo" if alone else "nccl")
    found = {}
    for name in GRAPHED:
        for what, array in learned(name, accelerator, **CUDA).items():
            found[f"{name}: {what}"] = array
    np.savez(Path(folder) / f"{accelerator.process_index}.npz", **found)
    accelerator.end_training()


def on_cpus(folder):
    torch.set_num_threads(1)
    accelerator = joined(cpu=True)
    rank = accelerator.process_index
    found = {"count": accelerator.num_processes}
    for name in CASES:
        for what, array in learned(name, accelerator).items():
            found[f"{name}: {what}"] = array

    def est(**params):
        return SUPPORT(KEYS, accelerator=accelerator, **OPTIONS | params)

    free = est(random_state=None, n_partitions=6, noisy_queries=0.2).fit(QUERIES)
    found["free: predicted"] = free.predict(OTHERS)
    cold = est(random_state=None, noisy_keys="auto").fit(None).partial_fit(QUERIES)
    found["cold: predicted"] = cold.predict(OTHERS)
    stopped = est(max_epochs=5, callbacks=[StopOne(rank)]).fit(QUERIES)
    found["stopped: n_iter"] = stopped.n_iter_
    errors = {
        "diverged": lambda: est(
            optimizer="sgd", lr=1e30, net_params={"clip_norm": None}
        ).fit(QUERIES),
        "other queries": lambda: est().fit(QUERIES + rank),
        "other seeds": lambda: est(random_state=rank).fit(QUERIES),
        "other weights": lambda: est().fit(QUERIES, sample_weight=WEIGHT + rank),
    }
    for name, function in errors.items():
        found[f"error: {name}"] = message(function)
    # Whoever shows progress does so on stderr.
    print(f"begin {rank}", file=sys.stderr, flush=True)
    est(verbose=1, random_state=0).fit(QUERIES)
    np.savez(Path(folder) / f"{rank}.npz", **found)
    accelerator.end_training()


if __name__ == "__main__":
    folder, *where = sys.argv[1:]
    on_gpus(folder) if where == ["cuda"] else on_cpus(folder)
