"""What shipped questions have in common: the catalogs they read, and two policies: models off curves, making priced."""

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


def catalogs(models: list[str], profiles: list[str]) -> CatalogRow:
    """Give the catalogs of a question: models by the end of a file's name, profiles by what was measured where."""
    found_models = [f"catalogs/models{domain}.json" for domain in models]
    found_profiles = [f"catalogs/profiles_{kind}.csv" for kind in profiles]
    return {
        "accelerators": "catalogs/accelerators.csv",
        "offers": "catalogs/offers.csv",
        "regions": "catalogs/regions.csv",
        "models": found_models if len(models) > 1 else found_models[0],
        "profiles": found_profiles if len(profiles) > 1 else found_profiles[0],
    }


EFFICIENCIES: CatalogRow = {"efficiencies": "catalogs/efficiencies.json"}
"""What modelled points are fitted with; a question that allows none of them reads none."""
LANGUAGE = catalogs([""], ["llm", "mlperf_language"]) | EFFICIENCIES
