"""Training: the data of a fit, its batches, and the skorch net that runs it."""

from ._augment import add_noise, noisy_queries, sources
from ._batches import Batches
from ._callbacks import EpochEvents, ValidationStopping
from ._data import Matching, TrainingData
from ._net import AmipsNet
from ._precision import Precision, check_precision
from ._processes import ONE, OneProcess, SeveralProcesses, device_of, processes_of
from ._schedule import RateSchedule, WeightAverage, warmup_cosine
from ._step import check_execution, choose_execution

__all__ = [
    "ONE",
    "AmipsNet",
    "Batches",
    "EpochEvents",
    "Matching",
    "OneProcess",
    "Precision",
    "RateSchedule",
    "SeveralProcesses",
    "TrainingData",
    "ValidationStopping",
    "WeightAverage",
    "add_noise",
    "check_execution",
    "check_precision",
    "choose_execution",
    "device_of",
    "noisy_queries",
    "processes_of",
    "sources",
    "warmup_cosine",
]
