"""
Which router? A grid search that labels once
============================================

Routers with and without learning, and numbers of lists, in one grid search, judged by
the share of keys that a query has to scan. No ``y`` is needed: the targets are found by
exact search, and ``memory=`` keeps them for the candidates that share them.
"""

# %%
# Generated keys and queries, in groups: each question is asked in two wordings. Folds
# keep groups together, so that no wording of a known question judges.
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from joblib import Memory
from matplotlib.ticker import PercentFormatter
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from sk_amips import (
    CentroidRouter,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)
from sk_amips.datasets import make_mips_problem
from sk_amips.metrics import neg_keys_scanned_scorer, neg_macs_scorer

keys, queries, groups = make_mips_problem(
    n_keys=4000,
    n_queries=6000,
    n_features=64,
    shift=0.5,
    norm_spread=0.3,
    popularity=1,
    random_state=0,
)

# %%
# A pipeline of one step, so that the router itself is a parameter. Two scorers: the
# share of keys scanned for 95 % of the best keys, and all work of a query, that of the
# router included.
routers = [
    CentroidRouter(keys, random_state=0),
    OptimisticRouter(keys, random_state=0),
    LinearRouter(keys, random_state=0),
    SupportNetRegressor(keys, max_epochs=30, random_state=0),
]
n_lists = [64, 128, 256]
search = GridSearchCV(
    Pipeline([("router", CentroidRouter(keys))]),
    {"router": routers, "router__n_partitions": n_lists},
    scoring={"keys": neg_keys_scanned_scorer(0.95), "macs": neg_macs_scorer(0.95)},
    refit="macs",
    cv=GroupKFold(2),
)
search.fit(queries, groups=groups)
best = search.best_params_
print(f"best: {type(best['router']).__name__}, {best['router__n_partitions']} lists")
results = {
    name: -search.cv_results_[f"mean_test_{name}"].reshape(len(routers), len(n_lists))
    for name in ("keys", "macs")
}
names = [type(router).__name__ for router in routers]
print(f"{'thousands of MACs':<22}" + "".join(f"{n:>8}" for n in n_lists))
for name, row in zip(names, results["macs"], strict=True):
    print(f"{name:<22}" + "".join(f"{macs / 1e3:>8.0f}" for macs in row))

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
scale = {"keys": 1, "macs": 1e3}
for ax, (name, work) in zip(axes, results.items(), strict=True):
    for label, row in zip(names, work / scale[name], strict=True):
        ax.plot(n_lists, row, "o-", label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(n_lists, n_lists)
    ax.set(xlabel="lists", ylim=(0, None))
axes[0].yaxis.set_major_formatter(PercentFormatter(1))
axes[0].set(ylabel="keys scanned", title="keys scanned for 95 % of the best keys")
axes[1].set(ylabel="thousands of MACs", title="all work of a query, the router's too")
axes[0].legend()
plt.show()

# %%
# Candidates that differ in training alone have the same labels. A cache finds them
# once for each fold; the labels of the second candidate and the third are read.
with tempfile.TemporaryDirectory() as folder:
    memory = Memory(folder, verbose=0)
    net = SupportNetRegressor(
        keys,
        n_partitions=64,
        noisy_queries=0,
        noisy_keys=0,
        max_epochs=5,
        memory=memory,
    )
    net.set_params(random_state=0)
    grid = GridSearchCV(net, {"lr": [3e-3, 1e-2, 3e-2]}, cv=GroupKFold(2), refit=False)
    grid.fit(queries, groups=groups)
    n_labelled = len(memory.store_backend.get_items())
print(f"six fits, {n_labelled} exact labellings")
print(
    "match rate of the first list, by learning rate:",
    np.round(grid.cv_results_["mean_test_score"], 3),
)
