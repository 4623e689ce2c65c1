"""SupportNetRegressor: predict support values, and best keys as their gradients."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ..nn import (
    Ellipsoids,
    RadialSupportNet,
    ResidualSupportNet,
    SupportNet,
)
from ..nn._activations import ACTIVATIONS
from ..nn._rectifiers import RECTIFIERS
from ..routing._optimistic import RANK, list_ellipsoids
from ._base import BaseAmipsRegressor


class SupportNetRegressor(BaseAmipsRegressor):
    r"""Learn the support function of the keys with an input-convex network.

    The support function :math:`\sigma(x) = \max_k \langle x, k \rangle` is the score of
    the best key of a query ``x``, and its gradient is that key. A network ``f`` is
    fitted to both on logged queries, whose best keys are found by exact search:
    ``score_weight`` x mean :math:`(f - \sigma)^2` + ``key_weight`` x mean
    :math:`\|\nabla f - k^*\|^2 / d` [1]_. With ``n_partitions`` > 1 it has an output
    for each list of keys and tells :meth:`search` which lists to visit.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features) or None, default=None
        Keys of any norm but zero, such as an ``np.memmap``: used by reference, also by
        clones, and never written. None takes the training queries as keys.
    n_partitions : int, "sqrt" or "auto", default=1
        Number of lists into which the keys are split by spherical k-means; "sqrt" takes
        the square root of the number of keys, "auto" twice that.
    partition : Partition or array-like of shape (n_keys,), default=None
        Lists to use in place of k-means, whatever ``n_partitions`` is: another
        estimator's ``partition_``, or the list of each key.
    top_k : int, default=1
        How many best keys matter. With one partition the network learns the sum of the
        scores of the ``top_k`` best keys and, as its gradient, the sum of these keys.
        With several it still learns support values, but errors count by how near a
        partition comes to the score of the ``top_k``-th best key of all, so that lists
        are ranked for the recall of the ``top_k`` best.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Widths of the hidden layers; see :func:`sk_amips.nn.budget_widths` for widths
        from a budget of parameters. "auto" is (256, 256) with one partition. With
        several it is one layer of 16 to 1024 units that takes half as much work as
        ranking lists by their centroids: a router must be cheap beside the keys it
        spares.
    activation : {"auto", "soft_leaky_relu", "leaky_relu", "relu"}, default="auto"
        Activation; "auto" is the leaky ReLU where ``convexity="strict"``, which needs
        a homogeneous one, and its smooth form elsewhere.
    convexity : {"strict", "soft"} or None, default="soft"
        "strict": no biases and non-negative hidden weights, so that the network is
        exactly convex and 1-homogeneous, as support functions are. "soft":
        non-negative hidden weights and radial homogenization, which keeps
        1-homogeneity and loses convexity across directions. None: free weights and
        radial homogenization, **not** convex.
    rectifier : {"auto", "softplus", "exp", "abs", "relu"}, default="auto"
        What keeps the hidden weights non-negative; unused where ``convexity=None``.
        "auto" is "softplus" with one partition, for smoother gradients, and "abs" with
        several, which learns faster.
    base_score : {"centroid", "optimistic"} or None, default="centroid"
        What the network starts from, and learns the difference to: the inner product
        with the centroid of each partition, in a linear part of the network that is
        trained as well; to which "optimistic" adds a fixed term for the spread of the
        keys, as :class:`OptimisticRouter`; None: nothing.
    inject_every : int or None, default=1
        The query enters every so many layers; None: only the first.
    score_weight : float, default=1.0
        Weight of score regression.
    key_weight : float or "auto", default="auto"
        Weight of gradient matching. "auto" is 10 with one partition and 0 with several,
        where the scores are what matters: then training is cheaper and routing better.
    matched_partitions : {"best", "all"} or int, default="best"
        With several partitions, whose best key is matched: that of the best one, of
        all, or of so many that are sampled for each query, those near the top most: an
        unbiased estimate of the loss of all at the cost of so many gradients. Without
        effect where ``key_weight`` is 0.
    routing_weight : float, default=0.0
        With several partitions, weight of the cross-entropy of the one that wins; some
        1e-4 make the first partition right more often, and the tail longer.
    score_temperature : float or None, default=0.05
        With several partitions, how far below the best a partition's support value may
        lie, in units of the keys' norm, until its error counts for a third; see
        :func:`sk_amips.losses.top_weights`. None: all count alike.
    noisy_queries : float or "auto", default="auto"
        Noisy copies of queries to add to the training queries, with exact targets of
        their own, as a multiple of the number of queries. "auto" adds so many that
        there are 64 for each of several lists, in :meth:`fit`. Each weighs as much as a
        query does in the mean, whatever its ``sample_weight``.
    query_noise : float, default=0.4
        Norm of their noise, relative to the query's.
    noisy_keys : float or "auto", default="auto"
        Noisy keys to add as queries, likewise ("auto": once more as many). They are all
        there is to learn from in ``fit(None)``, without a log: as a multiple of the
        number of keys then, "auto" being 2 and at most 131,072 of them.
    key_noise : float or "auto", default="auto"
        Norm of their noise, relative to the key's. "auto" is 0.6, without a log 0.3.
    lr : float or "auto", default="auto"
        Learning rate; "auto" is 2e-3 with one partition and 1e-2 with several.
    lr_schedule : {"cosine"} or None, default="cosine"
        "cosine": linear warm-up, then cosine decay to zero over ``max_epochs``.
    ema_decay : float or None, default=0.99
        Decay, each step, of the average of the weights that predictions are made with;
        None: the last weights.
    max_epochs : int, default=50
        Passes over the queries.
    batch_size : int, default=512
        Queries a step.
    optimizer : {"adamw", "adam", "sgd"} or torch optimizer class, default="adamw"
        Optimizer.
    early_stopping : bool, default=False
        Whether to hold out validation queries, stop when ``scoring`` has not improved
        on them for ``n_iter_no_change`` epochs, and restore the best weights.
    scoring : {"auto", "loss", "match_rate", "routing_recall"}, default="auto"
        What early stopping watches: the loss; the match rate, as :meth:`score` has it;
        or with several partitions how often the best key is within the first ones, as
        many as half the square root of their number. "auto" is the match rate with one
        partition, which takes a search over the keys each epoch, and routing recall
        with several; the loss where targets are given.
    validation_fraction : float, default=0.1
        Share of queries, or of their groups, to hold out.
    n_iter_no_change : int, default=10
        Epochs without improvement before stopping.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where to compute; "auto" takes CUDA if there is any.
    accelerator : accelerate.Accelerator or None, default=None
        Of a script that ``accelerate launch`` has started as several processes: they
        share the labels and every batch of a fit that all of them call with the same
        data, and have the same result, that of one process up to rounding. Each
        computes on the accelerator's device; nothing else of it is used, and it is not
        saved. Progress is shown by the main process, callbacks are run by each.
    execution : {"auto", "eager", "graph", "compile"}, default="auto"
        How training steps are executed: operation by operation ("eager"), by replay of
        a CUDA graph, or as compiled by torch, which takes a C++ compiler on the CPU and
        is replayed as a graph on CUDA. "auto" is the graph on CUDA, unless there are
        few steps, and eager elsewhere.
    precision : {"auto", "float32", "tf32", "bfloat16"}, default="auto"
        Precision of the network's products in training; weights, losses and predictions
        stay in float32. "auto" is TF32 on CUDA devices that have it, float32 elsewhere.
    callbacks : list of skorch callbacks or None, default=None
        Further callbacks of the skorch net. Those with a method for every batch, such
        as ``on_batch_end``, make steps eager and have the loss read after each. An
        ``LRScheduler`` takes ``lr_schedule=None``; ``EpochScoring`` takes a function of
        the net. For scorers of scikit-learn see the Notes.
    net_params : dict or None, default=None
        Further parameters of the skorch net, such as
        ``{"optimizer__weight_decay": 0.1}``; they win over those above. The norm of a
        step's gradient is clipped to 1 unless ``{"clip_norm": None}``.
    warm_start : bool, default=False
        Whether :meth:`fit` goes on from the present network, partition and keys.
        Parameters of training may change in between, those of the network may not.
    memory : None, str or object with the joblib.Memory interface, default=None
        Folder where the targets that were searched are kept, block by block: the next
        fit with these queries and keys reads them, and one that was interrupted goes on
        where it stopped.
    n_jobs : int or None, default=None
        Jobs of the exact search.
    random_state : int, RandomState instance or None, default=None
        Seed of partition, initialisation, validation split, noise and shuffling.
    verbose : int, default=0
        Above 0: show on stderr how many queries have their targets, and then epochs
        with their losses and the time left.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted net; ``net_.module_`` is the torch module.
    keys_ : ndarray or memmap of shape (n_keys, n_features)
        The keys, by reference.
    key_norms_ : KeyNorms
        Largest and root-mean-square norm of the keys.
    partition_ : Partition
        The lists of keys; ``partition_.labels_`` has the list of each key.
    n_summed_ : int
        Number of best keys whose sum the network predicts: ``top_k``, or 1 where it has
        an output for each of several partitions.
    history_ : skorch.History
        What happened in each epoch.
    loss_curve_ : list of float
        Training loss of each epoch.
    n_iter_ : int
        Number of epochs.
    n_samples_seen_ : int
        Number of queries that targets were given or searched for, with noisy ones.
    is_cold_ : bool
        Whether there was no log of queries, and noisy keys stood in for it.
    random_state_ : RandomState instance
        Source of further randomness.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the queries had names.

    See Also
    --------
    KeyNetRegressor : Predicts the best key directly.

    Notes
    -----
    ``set_callbacks`` takes callbacks of scikit-learn for :meth:`fit`, also those of a
    pipeline or search around it; they are experimental, see :mod:`sklearn.callback`.
    They are told of the tasks "labels" and "epochs", and of every "epoch", which ends
    with an estimator that predicts; a callback may make it the last. Where ``y`` is
    None they are given the searched targets as ``y``, in the form of :meth:`predict`.

    References
    ----------
    .. [1] Olausson, Monteiro, Klein and Cuturi, "Amortizing Maximum Inner Product
       Search with Learned Support Functions", arXiv:2603.08001.

    Examples
    --------
    Trained on queries about few topics, its first list is right more often than that
    of the centroids:

    >>> import numpy as np
    >>> from sk_amips import CentroidRouter, SupportNetRegressor
    >>> rng = np.random.default_rng(0)
    >>> keys, topics = rng.normal(size=(500, 16)), rng.normal(size=(8, 16))
    >>> queries = topics[rng.integers(8, size=2000)] + 0.5 * rng.normal(size=(2000, 16))
    >>> est = SupportNetRegressor(keys, n_partitions=20, max_epochs=10, random_state=0)
    >>> scores, indices = est.fit(queries[:1000]).search(queries[1000:], k=2, n_probe=4)
    >>> indices.shape
    (1000, 2)
    >>> centroids = CentroidRouter(keys, partition=est.partition_).fit(queries)
    >>> est.score(queries[1000:]) > centroids.score(queries[1000:]) + 0.1
    True
    """

    _parameter_constraints: dict = {
        **BaseAmipsRegressor._parameter_constraints,
        "activation": [StrOptions({"auto", *ACTIVATIONS})],
        "hidden_layer_sizes": [
            *BaseAmipsRegressor._parameter_constraints["hidden_layer_sizes"],
            StrOptions({"auto"}),
        ],
        "key_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "convexity": [StrOptions({"strict", "soft"}), None],
        "base_score": [StrOptions({"centroid", "optimistic"}), None],
        "rectifier": [StrOptions({"auto", *filter(None, RECTIFIERS)})],
    }

    def __init__(
        self,
        keys=None,
        *,
        n_partitions=1,
        partition=None,
        top_k=1,
        hidden_layer_sizes="auto",
        activation="auto",
        convexity="soft",
        rectifier="auto",
        base_score="centroid",
        inject_every=1,
        score_weight=1.0,
        key_weight="auto",
        matched_partitions="best",
        routing_weight=0.0,
        score_temperature=0.05,
        noisy_queries="auto",
        query_noise=0.4,
        noisy_keys="auto",
        key_noise="auto",
        lr="auto",
        lr_schedule="cosine",
        ema_decay=0.99,
        max_epochs=50,
        batch_size=512,
        optimizer="adamw",
        early_stopping=False,
        scoring="auto",
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        accelerator=None,
        execution="auto",
        precision="auto",
        callbacks=None,
        net_params=None,
        warm_start=False,
        memory=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.keys = keys
        self.n_partitions = n_partitions
        self.partition = partition
        self.top_k = top_k
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.convexity = convexity
        self.rectifier = rectifier
        self.base_score = base_score
        self.inject_every = inject_every
        self.score_weight = score_weight
        self.key_weight = key_weight
        self.matched_partitions = matched_partitions
        self.routing_weight = routing_weight
        self.score_temperature = score_temperature
        self.noisy_queries = noisy_queries
        self.query_noise = query_noise
        self.noisy_keys = noisy_keys
        self.key_noise = key_noise
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.ema_decay = ema_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.accelerator = accelerator
        self.execution = execution
        self.precision = precision
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    _auto: ClassVar[dict] = {
        "hidden_layer_sizes": ((256, 256), None),
        "key_weight": (10.0, 0.0),
        "lr": (2e-3, 1e-2),
        "rectifier": ("softplus", "abs"),
    }

    def _get(self, name: str):
        value = super()._get(name)
        if name != "hidden_layer_sizes" or value is not None:
            return value
        c, d = self.partition_.n_partitions, self.n_features_in_
        # Half as much work as ranking lists by their centroids.
        width = round(c * d / (c + d) / 2)
        return (min(max(width, 16), 1024),)

    def _floats_per_query(self) -> int:
        c, d = self.partition_.n_partitions, self.n_features_in_
        # Hidden states and their derivatives; the axes of the ellipsoids.
        floats = c + 4 * sum(self.net_.module__hidden_sizes)
        return floats + (RANK * (c + d) if self.base_score == "optimistic" else d)

    def _module_params(self):
        return build_support_net, {
            "activation": self.activation,
            "convexity": self.convexity,
            "rectifier": self._get("rectifier"),
            "base_score": self.base_score,
        }

    def _prepare_module(self, module) -> None:
        if self.base_score is None:
            return
        centroids = torch.from_numpy(self.partition_.centroids_)
        module.set_linear(self.n_summed_ * centroids)
        if self.base_score == "optimistic":
            base = list_ellipsoids(
                self.keys_,
                self.partition_,
                optimism=self.n_summed_,
                scale=self.key_norms_.rms or 1.0,
            )
            module.base.load_state_dict(base.state_dict())


def build_support_net(
    *,
    in_features: int,
    hidden_sizes: list[int],
    n_partitions: int,
    activation: str,
    convexity: str | None,
    rectifier: str,
    base_score: str | None,
    inject_every: int | None,
    scale: float,
    seed: int,
) -> SupportNet | RadialSupportNet | ResidualSupportNet:
    """Build the network of a :class:`SupportNetRegressor`."""
    strict = convexity == "strict"
    if activation == "auto":
        activation = "leaky_relu" if strict else "soft_leaky_relu"
    net = SupportNet(
        in_features,
        hidden_sizes,
        n_partitions,
        activation=activation,
        rectifier=rectifier if convexity is not None else None,
        inject_every=inject_every,
        inject_output=True,
        bias=not strict,
        init="log_normal" if convexity is not None else "plain",
        scale=scale,
        generator=torch.Generator().manual_seed(seed),
    )
    if strict and not net.is_homogeneous:
        raise ValueError(
            "convexity='strict' needs a homogeneous activation: 'leaky_relu', 'relu' "
            f"or 'auto', got activation={activation!r}."
        )
    if not strict:
        net = RadialSupportNet(net)
    if base_score == "optimistic":
        rank = min(RANK, in_features)
        factors = torch.zeros(n_partitions, rank, in_features)
        net = ResidualSupportNet(net, Ellipsoids(factors, torch.zeros(n_partitions)))
    return net
