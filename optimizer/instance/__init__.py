"""The instance: one complete planning question, frozen.

Catalogs, workloads, limits and policy together; what a plan answers. Everything later parts need has its place in the schema;
what is not built yet is refused by name (``not_yet``), never ignored.
"""

from optimizer.instance.demand import (
    HOURS_PER_MONTH,
    AccuracyFloor,
    Aggregation,
    BatchWorkload,
    LatencyTarget,
    Period,
    Rate,
    RequestClass,
    ServingWorkload,
    TrainingWorkload,
    Workload,
)
from optimizer.instance.earning import Penalty, Revenue, Shedding
from optimizer.instance.limits import (
    Limit,
    Match,
)
from optimizer.instance.places import RoutePrice, StoragePrice
from optimizer.instance.policy import (
    Balancer,
    ChangePolicy,
    Policy,
    SetupPrices,
    Stated,
)
from optimizer.instance.priced import (
    DataSet,
    FlatLicence,
    Interruption,
    Licence,
    People,
    StartPrice,
    UnitLicence,
)
from optimizer.instance.prices import PriceRule
from optimizer.instance.redundancy import Loss, Recourse, Redundancy
from optimizer.instance.sharing import FractionPattern, SharedPool
from optimizer.instance.sites import Draw, Figure, Host, Site
from optimizer.instance.training import (
    Checkpoint,
    Kept,
    Scaling,
    TrainingLayout,
    TrainingMemory,
    TrainingPrecision,
    Work,
)
from optimizer.instance.whole import SCHEMA_VERSION, Catalogs, Instance

__all__ = [
    "HOURS_PER_MONTH",
    "SCHEMA_VERSION",
    "AccuracyFloor",
    "Aggregation",
    "Balancer",
    "BatchWorkload",
    "Catalogs",
    "ChangePolicy",
    "Checkpoint",
    "DataSet",
    "Draw",
    "Figure",
    "FlatLicence",
    "FractionPattern",
    "Host",
    "Instance",
    "Interruption",
    "Kept",
    "LatencyTarget",
    "Licence",
    "Limit",
    "Loss",
    "Match",
    "Penalty",
    "People",
    "Period",
    "Policy",
    "PriceRule",
    "Rate",
    "Recourse",
    "Redundancy",
    "RequestClass",
    "Revenue",
    "RoutePrice",
    "Scaling",
    "ServingWorkload",
    "SetupPrices",
    "SharedPool",
    "Shedding",
    "Site",
    "StartPrice",
    "Stated",
    "StoragePrice",
    "TrainingLayout",
    "TrainingMemory",
    "TrainingPrecision",
    "TrainingWorkload",
    "UnitLicence",
    "Work",
    "Workload",
]
