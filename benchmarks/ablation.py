"""What each choice in a router is worth: one thing changed at a time.

The base is a SupportNetRegressor with the defaults for several partitions, but for
larger batches, no noise, and one hidden layer with 3 % as many weights as the keys have
numbers, at most 1,024 units. See benchmarks/routing.py for the measure, the data and
the options. Run ``python benchmarks/ablation.py debian`` (or ``squad_nqg``).
"""

from protocol import main, n_lists, three_percent
from tables import run

from sk_amips import SupportNetRegressor
from sk_amips.nn import budget_widths

BASE = {
    "batch_size": 2048,
    "max_epochs": 60,
    "noisy_queries": 0.0,
    "noisy_keys": 0.0,
}


def variants(name, keys):
    """Changes to the base, by what they are about."""

    def widths(depth, fraction=0.03, **kwargs):
        return budget_widths(
            *keys.shape,
            depth=depth,
            fraction=fraction,
            out_features=n_lists(name, keys),
            **kwargs,
        )

    deep = {"hidden_layer_sizes": widths(3, inject_every=1)}
    return {
        "base": {},
        "convexity: strict": {"convexity": "strict"},
        "convexity: none": {"convexity": None},
        "rectifier: softplus": {"rectifier": "softplus"},
        "rectifier: exp": {"rectifier": "exp"},
        "rectifier: relu": {"rectifier": "relu"},
        "depth 2, equal size": {"hidden_layer_sizes": widths(2, inject_every=1)},
        "depth 3, equal size": deep,
        "depth 3, injected every 2nd layer": deep | {"inject_every": 2},
        "depth 3, not injected": deep | {"inject_every": None},
        "parameters 0.01 of the keys'": {"hidden_layer_sizes": widths(1, 0.01)},
        "parameters 0.05 of the keys'": {"hidden_layer_sizes": widths(1, 0.05)},
        "parameters 0.2 of the keys'": {"hidden_layer_sizes": widths(1, 0.2)},
        "base score: none": {"base_score": None},
        "base score: optimistic": {"base_score": "optimistic"},
        "noisy queries, 0.4": {"noisy_queries": 1.0},
        "noisy queries, 0.2": {"noisy_queries": 1.0, "query_noise": 0.2},
        "noisy keys, 0.6": {"noisy_keys": 1.0},
        "noisy keys, 0.4": {"noisy_keys": 1.0, "key_noise": 0.4},
        "noisy keys and queries": {"noisy_keys": 1.0, "noisy_queries": 1.0},
        "all partitions count alike": {"score_temperature": None},
        "score temperature 0.02": {"score_temperature": 0.02},
        "score temperature 0.1": {"score_temperature": 0.1},
        "cross-entropy 2e-4": {"routing_weight": 2e-4},
        "cross-entropy 1e-3": {"routing_weight": 1e-3},
        "keys of the best matched": {"key_weight": 1.0},
        "keys of 4 samples matched": {"key_weight": 1.0, "matched_partitions": 4},
        "no average of weights": {"ema_decay": None},
        "average of weights, 0.999": {"ema_decay": 0.999},
        "no schedule": {"lr_schedule": None},
        "lr 2e-3": {"lr": 2e-3},
    }


def routers(name, keys):
    """The base with each of the changes."""
    base = BASE | {"hidden_layer_sizes": three_percent(name, keys)}
    return {
        label: SupportNetRegressor(**(base | change))
        for label, change in variants(name, keys).items()
    }


if __name__ == "__main__":
    run(lambda: main(__doc__, routers))
