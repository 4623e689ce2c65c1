"""Share of keys scanned until the best key's list is visited, by router.

Lists are visited in the order of a router's scores, equally many for all queries; the
table has the share of keys scanned so that the list of the best key is among them for
90, 95 and 99 % of queries. Choose by validation, report test. Weights are the numbers
that a router multiplies with, its work for a query: a full scan has ``n_keys * 384``.

Run ``python benchmarks/routing.py debian`` (or ``squad_nqg``): it needs the folder
``../shared/data`` beside the checkout. ``--n-jobs 6`` trains several at the same time,
on a GPU where there is one, and ``--json results.json`` keeps all numbers.
"""

from protocol import main, three_percent
from tables import run

from sk_amips import (
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)

TRAINING = {"batch_size": 2048, "max_epochs": 60}


def support(*widths, **params):
    return SupportNetRegressor(hidden_layer_sizes=widths, **(TRAINING | params))


def key(*widths, **params):
    return KeyNetRegressor(hidden_layer_sizes=widths, **(TRAINING | params))


FREE = {"convexity": None, "lr": 5e-3}
NOISY = {"noisy_queries": 1.0, "noisy_keys": 1.0}
ONE_HEAD = {"shared_head": True}

ROUTERS = {
    "KeyNet defaults": KeyNetRegressor(),
    "SupportNet defaults": SupportNetRegressor(),
    "CentroidRouter": CentroidRouter(),
    "OptimisticRouter, rank 4": OptimisticRouter(rank=4),
    "OptimisticRouter, rank 16": OptimisticRouter(),
    "OptimisticRouter, full rank": OptimisticRouter(rank=None),
    "LinearRouter": LinearRouter(),
    "LinearRouter, cross-entropy": LinearRouter(loss="cross_entropy"),
    "free 1x320": support(320, **FREE),
    "free 1x320, top_k=10": support(320, top_k=10, **FREE),
    "free 1x320, optimistic": support(320, base_score="optimistic", **FREE),
    "free 1x384, noisy": support(384, **FREE, **NOISY),
    "free 1x400, temperature 0.1": support(
        400, **FREE, score_temperature=0.1, batch_size=512, max_epochs=40
    ),
    "free 1x1024": support(1024, **FREE),
    "soft 1x1024": support(1024),
    "strict 1x1024": support(1024, convexity="strict"),
    "free 1x1024, noisy": support(1024, **FREE, **NOISY),
    "free 1x1264, noisy": support(1264, **FREE, **NOISY),
    "free 1x1024, optimistic": support(1024, base_score="optimistic", **FREE),
    "soft 1x1024, optimistic": support(1024, base_score="optimistic"),
    "strict 1x1024, optimistic": support(
        1024, base_score="optimistic", convexity="strict"
    ),
    "KeyNet, one head, no routing loss": key(1024, **ONE_HEAD),
    "KeyNet, one head": key(1024, **ONE_HEAD, routing_weight=1e-2),
    "KeyNet, one head, noisy keys": key(
        1024, **ONE_HEAD, routing_weight=1e-2, noisy_keys=1.0
    ),
}


def routers(name, keys):
    """All routers, for a set."""
    wide = SupportNetRegressor(
        hidden_layer_sizes=three_percent(name, keys), noisy_queries=0.0, noisy_keys=0.0
    )
    return ROUTERS | {"SupportNet, 3 % of the keys": wide}


if __name__ == "__main__":
    run(lambda: main(__doc__, routers))
