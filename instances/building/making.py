"""What making and keeping a form of a model takes: our own examples, as no source tells; they are marked `assumed`.

A question pays for the making only if its policy states prices (`policy.setup`), and for the keeping wherever the form is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from building.tables import CatalogRow

FINE_TUNING = {
    "accelerator_hours": 150,
    "labelling_hours": 60,
    "quality": "assumed",
    "source": "an example: fine-tuning another network of the family to the company's own tags, and 10,000 images checked",
}
SECOND_FORM = {
    "accelerator_hours": 400,
    "labelling_hours": 300,
    "quality": "assumed",
    "source": "an example: training the interaction for INT8, and two people who compare it with the first form for four weeks",
}
TUNED_USD_PER_MONTH = 400
SECOND_FORM_USD_PER_MONTH = 1100
MAINTENANCE = "maintenance of {} USD a month is an example: {}"


def with_tuning(models: Iterable[CatalogRow]) -> list[CatalogRow]:
    """Give image families whose smaller members have to be fine-tuned once and again each month."""
    why = MAINTENANCE.format(TUNED_USD_PER_MONTH, "an evening of fine-tuning on new images and a check of the result")
    return [_made(model, FINE_TUNING, TUNED_USD_PER_MONTH, why) for model in models]


def with_second_form(models: Iterable[CatalogRow]) -> list[CatalogRow]:
    """Give recommendation models whose compressed form has to be made once and calibrated again each month."""
    why = MAINTENANCE.format(SECOND_FORM_USD_PER_MONTH, "new calibration as clicks drift, and a second form to release")
    return [_made(model, SECOND_FORM, SECOND_FORM_USD_PER_MONTH, why) for model in models]


def _made(model: CatalogRow, setup: CatalogRow, usd_per_month: float, why: str) -> CatalogRow:
    variants = model["variants"]
    assert isinstance(variants, list)
    return model | {"variants": [_variant(v, setup, usd_per_month, why) for v in variants]}


def _variant(variant: CatalogRow, setup: CatalogRow, usd_per_month: float, why: str) -> CatalogRow:
    if variant["compression"] == "none":
        return variant
    note = f"{variant['note']}; {why}" if variant.get("note") else why
    return variant | {"setup": setup, "maintenance_usd_per_month": usd_per_month, "note": note}
