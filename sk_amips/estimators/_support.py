"""SupportNetRegressor: predict support values, and best keys as their gradients."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ..nn import RadialSupportNet, SupportNet
from ..nn._activations import ACTIVATIONS
from ..nn._rectifiers import RECTIFIERS
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
    n_partitions : int or "sqrt", default=1
        Number of lists into which the keys are split by spherical k-means; "sqrt" takes
        the square root of the number of keys.
    partition : Partition or array-like of shape (n_keys,), default=None
        Lists to use instead, such as another estimator's ``partition_``, or the list of
        each key.
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Widths of the hidden layers; see :func:`sk_amips.nn.budget_widths` for widths
        from a budget of parameters.
    activation : {"auto", "soft_leaky_relu", "leaky_relu", "relu"}, default="auto"
        Activation; "auto" is the leaky ReLU where ``convexity="strict"``, which needs
        a homogeneous one, and its smooth form elsewhere.
    convexity : {"strict", "soft"} or None, default="soft"
        "strict": no biases and non-negative hidden weights, so that the network is
        exactly convex and 1-homogeneous, as support functions are. "soft":
        non-negative hidden weights and radial homogenization, which keeps
        1-homogeneity and loses convexity across directions. None: free weights and
        radial homogenization, **not** convex.
    rectifier : {"softplus", "exp", "abs", "relu"}, default="softplus"
        What keeps the hidden weights non-negative; unused where ``convexity=None``.
    inject_every : int or None, default=1
        The query enters every so many layers; None: only the first.
    score_weight : float, default=1.0
        Weight of score regression.
    key_weight : float or "auto", default="auto"
        Weight of gradient matching; with several partitions, the gradient of the best
        one is matched. "auto" is 10 with one partition and 0 with several, where the
        scores are what matters: then training is cheaper and routing better.
    routing_weight : float, default=0.0
        With several partitions, weight of the cross-entropy of the one that wins; some
        1e-4 make the first partition right more often, and the tail longer.
    score_temperature : float or None, default=0.05
        With several partitions, how far below the best a partition's support value may
        lie, in units of the keys' norm, until its error counts for a third; see
        :func:`sk_amips.losses.top_weighted_score_regression`. None: all count alike.
    lr : float, default=2e-3
        Learning rate.
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
        Whether to hold out validation queries, stop when their loss has not improved
        for ``n_iter_no_change`` epochs, and restore the best weights.
    validation_fraction : float, default=0.1
        Share of queries, or of their groups, to hold out.
    n_iter_no_change : int, default=10
        Epochs without improvement before stopping.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where to compute; "auto" takes CUDA if there is any.
    callbacks : list of skorch callbacks or None, default=None
        Further callbacks of the skorch net.
    net_params : dict or None, default=None
        Further parameters of the skorch net, such as
        ``{"optimizer__weight_decay": 0.1}``; they win over those above. The norm of a
        step's gradient is clipped to 1 unless ``{"callbacks__clip": None}``.
    warm_start : bool, default=False
        Whether :meth:`fit` goes on from the present network, partition and keys.
        Parameters of training may change in between, those of the network may not.
    n_jobs : int or None, default=None
        Jobs of the exact search.
    random_state : int, RandomState instance or None, default=None
        Seed of partition, initialisation, validation split and shuffling.
    verbose : int, default=0
        Above 0: show a progress bar.

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
    history_ : skorch.History
        What happened in each epoch.
    loss_curve_ : list of float
        Training loss of each epoch.
    n_iter_ : int
        Number of epochs.
    random_state_ : RandomState instance
        Source of further randomness.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where the queries had names.

    See Also
    --------
    KeyNetRegressor : Predicts the best key directly.

    References
    ----------
    .. [1] Olausson, Monteiro, Klein and Cuturi, "Amortizing Maximum Inner Product
       Search with Learned Support Functions", arXiv:2603.08001.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import SupportNetRegressor
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(500, 16))
    >>> queries = rng.normal(size=(1000, 16))
    >>> est = SupportNetRegressor(keys, n_partitions=20, max_epochs=5, random_state=0)
    >>> est.fit(queries).predict(queries[:3]).shape
    (3,)
    >>> scores, indices = est.search(queries[:3], k=2, n_probe=4)
    >>> indices.shape
    (3, 2)
    """

    _parameter_constraints: dict = {
        **BaseAmipsRegressor._parameter_constraints,
        "activation": [StrOptions({"auto", *ACTIVATIONS})],
        "key_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "convexity": [StrOptions({"strict", "soft"}), None],
        "rectifier": [StrOptions({name for name in RECTIFIERS if name})],
    }

    _winner_only = True

    def __init__(
        self,
        keys=None,
        *,
        n_partitions=1,
        partition=None,
        hidden_layer_sizes=(256, 256),
        activation="auto",
        convexity="soft",
        rectifier="softplus",
        inject_every=1,
        score_weight=1.0,
        key_weight="auto",
        routing_weight=0.0,
        score_temperature=0.05,
        lr=2e-3,
        lr_schedule="cosine",
        ema_decay=0.99,
        max_epochs=50,
        batch_size=512,
        optimizer="adamw",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        callbacks=None,
        net_params=None,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.keys = keys
        self.n_partitions = n_partitions
        self.partition = partition
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.convexity = convexity
        self.rectifier = rectifier
        self.inject_every = inject_every
        self.score_weight = score_weight
        self.key_weight = key_weight
        self.routing_weight = routing_weight
        self.score_temperature = score_temperature
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.ema_decay = ema_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def predict(self, X) -> np.ndarray:
        """Predict the score of the best key.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        support : ndarray of shape (n_queries,)
            Predicted support values, in the precision of ``X``.
        """
        return self.predict_partitions(X).max(axis=1)

    def _key_weight(self) -> float:
        if self.key_weight != "auto":
            return self.key_weight
        return 10.0 if self.n_partitions == 1 else 0.0

    def _module_params(self):
        return build_support_net, {
            "activation": self.activation,
            "convexity": self.convexity,
            "rectifier": self.rectifier,
        }

    def _prepare_module(self, module) -> None:
        module.set_linear(torch.from_numpy(self.partition_.centroids_))


def build_support_net(
    *,
    in_features: int,
    hidden_sizes: list[int],
    n_partitions: int,
    activation: str,
    convexity: str | None,
    rectifier: str,
    inject_every: int | None,
    scale: float,
    seed: int,
) -> SupportNet | RadialSupportNet:
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
    return net if strict else RadialSupportNet(net)
