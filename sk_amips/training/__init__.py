"""Training: the data of a fit, its batches, and the skorch net that runs it."""

from ._augment import noisy_queries
from ._batches import Batches
from ._callbacks import EpochProgress, ValidationStopping
from ._data import Matching, TrainingData
from ._net import AmipsNet
from ._schedule import WarmupCosine, WeightAverage, warmup_cosine

__all__ = [
    "AmipsNet",
    "Batches",
    "EpochProgress",
    "Matching",
    "TrainingData",
    "ValidationStopping",
    "WarmupCosine",
    "WeightAverage",
    "noisy_queries",
    "warmup_cosine",
]
