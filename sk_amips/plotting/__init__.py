"""Displays of what an index costs, finds and promises; they need matplotlib."""

from ._calibration import CalibrationDisplay
from ._recall_cost import RecallCostDisplay
from ._routing import RoutingDisplay
from ._score_error import ScoreErrorDisplay
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "CalibrationDisplay",
    "RecallCostDisplay",
    "RoutingDisplay",
    "ScoreErrorDisplay",
    "TrainingCurveDisplay",
]
