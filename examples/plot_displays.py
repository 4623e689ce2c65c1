"""
Displays: routing, recall, calibration, training, scores
========================================================

Five displays, in the manner of scikit-learn's, of one router and one index. Each takes
a fitted estimator and queries that it has not seen, and draws on axes of its own or on
given ones.
"""

# %%
# Generated keys and queries in groups: one part of these learns, another calibrates,
# and the last judges.
import matplotlib.pyplot as plt

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    LinearRouter,
    SupportNetRegressor,
    exact_search,
)
from sk_amips.datasets import make_mips_problem
from sk_amips.model_selection import grouped_query_split
from sk_amips.plotting import (
    CalibrationDisplay,
    RecallCostDisplay,
    RoutingDisplay,
    ScoreErrorDisplay,
    TrainingCurveDisplay,
)

keys, queries, groups = make_mips_problem(
    n_keys=4000,
    n_queries=12000,
    n_features=64,
    shift=0.5,
    norm_spread=0.3,
    popularity=1,
    random_state=0,
)
train, calibration, test, *_, test_groups = grouped_query_split(
    queries, groups, groups=groups, parts=(0.7, 0.1, 0.2), random_state=0
)
net = SupportNetRegressor(
    keys, n_partitions=128, top_k=10, early_stopping=True, random_state=0
).fit(train)
partition = net.partition_
routers = {
    "SupportNet": net,
    "linear": LinearRouter(keys, partition=partition).fit(train),
    "centroids": CentroidRouter(keys, partition=partition).fit(train),
}
exact = exact_search(keys, test, k=10)

# %%
# How the loss fell, and on which epoch early stopping went back to.
TrainingCurveDisplay.from_estimator(net)

# %%
# Which share of the best keys lies in the first lists that a router names.
RoutingDisplay.from_estimator(net, test, exact=exact)

# %%
# What a recall costs: keys scanned, and all work of a query with that of the router.
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, cost in zip(axes, ("keys", "macs"), strict=True):
    RecallCostDisplay.from_estimators(routers, test, cost=cost, exact=exact, ax=ax)

# %%
# Whether an index keeps what it promises, on queries that it has not seen. The band
# says how much these few queries leave open.
index = AmortizedNeighbors(
    net, k=10, target_recall=0.95, fallback=False, random_state=0
).fit(calibration)
CalibrationDisplay.from_estimator(index, test, groups=test_groups, exact=exact)

# %%
# Predicted scores of the best key, beside the true ones.
ScoreErrorDisplay.from_estimator(net, test, exact=exact)
plt.show()
