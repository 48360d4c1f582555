"""What holds for every workload of a shipped question: two policies, one for models read off curves, one that prices making."""

from __future__ import annotations

from building.demands import EXAMPLE
from building.tables import CatalogRow

READ_OFF_CURVES: CatalogRow = {
    "max_price_age_days": 730,
    "utilization_cap": 0.8,
    "run_to_run_spread_factor": {
        "value": 1.5,
        "quality": "assumed",
        "reason": "published points are central values of single runs; repeated runs scatter by tens of percent",
    },
}
PRICED_MAKING: CatalogRow = {
    "max_price_age_days": 730,
    "utilization_cap": 0.8,
    "setup": {
        "usd_per_accelerator_hour": 3,
        "usd_per_labelling_hour": 20,
        "horizon_months": 12,
        "quality": "assumed",
        "source": EXAMPLE + "an H100 costs 2 to 4 USD an hour at the smaller providers; 20 USD/h of labelling",
    },
}
