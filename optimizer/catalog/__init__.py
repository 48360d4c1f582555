"""What can be bought and what can be run: accelerators, offers, regions, models and measured profiles.

Frozen records; units are in the field names and the source stands beside each number. Nothing here computes.
"""

from optimizer.catalog.accelerators import Accelerator, AcceleratorKind
from optimizer.catalog.models import Accuracy, Model, Setup, Speedup, Variant
from optimizer.catalog.offers import Offer, Option, Price
from optimizer.catalog.profiles import BatchTime, Latency, Layout, Load, LoadKind, Profile, Quantity
from optimizer.catalog.record import Quality, Record, worst
from optimizer.catalog.regions import Region

__all__ = [
    "Accelerator",
    "AcceleratorKind",
    "Accuracy",
    "BatchTime",
    "Latency",
    "Layout",
    "Load",
    "LoadKind",
    "Model",
    "Offer",
    "Option",
    "Price",
    "Profile",
    "Quality",
    "Quantity",
    "Record",
    "Region",
    "Setup",
    "Speedup",
    "Variant",
    "worst",
]
