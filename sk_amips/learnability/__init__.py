"""How much can be learned from a query log, before anything is trained."""

from ._estimate import learnability_report
from ._missing_mass import MissingMass
from ._report import LearnabilityReport, MissingMassCurve

__all__ = [
    "LearnabilityReport",
    "MissingMass",
    "MissingMassCurve",
    "learnability_report",
]
