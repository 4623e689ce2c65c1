"""Training: the data of a fit, its batches, and the skorch net that runs it."""

from ._callbacks import EpochProgress, ValidationStopping
from ._data import Batches, TrainingData
from ._net import AmipsNet
from ._schedule import WarmupCosine, WeightAverage, warmup_cosine

__all__ = [
    "AmipsNet",
    "Batches",
    "EpochProgress",
    "TrainingData",
    "ValidationStopping",
    "WarmupCosine",
    "WeightAverage",
    "warmup_cosine",
]
