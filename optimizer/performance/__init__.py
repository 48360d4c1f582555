"""What one replica can do: measured profiles, curves derived from them, and the roofline for what nobody measured."""

from optimizer.performance.data import ClassCurve, ServiceTime
from optimizer.performance.deployed import deployed
from optimizer.performance.figures import Kind, OptionTable, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.options import Performance
from optimizer.performance.profiles import Configuration
from optimizer.performance.training import RunEstimate, run_estimate

__all__ = [
    "ClassCurve",
    "Configuration",
    "Kind",
    "OptionTable",
    "Performance",
    "Rejection",
    "RejectionCode",
    "ReplicaEstimate",
    "RunEstimate",
    "ServiceTime",
    "deployed",
    "run_estimate",
]
