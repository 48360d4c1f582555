"""Which form of a network lends another its figures, and on what terms."""

from __future__ import annotations

from optimizer.catalog import Accelerator, Model, Quality, Variant, worst
from optimizer.performance.figures import Rejection, RejectionCode
from optimizer.performance.modelled import not_supported
from optimizer.performance.profiles import Configuration

__all__ = ["base_of", "carriage", "forms_of", "place_of"]


def place_of(configuration: Configuration) -> tuple[str, str, str, int]:
    """Give variant, accelerator and how many: what two engines may share."""
    return (*configuration.variant, configuration.accelerator, configuration.accelerators_per_replica)


def forms_of(model: Model) -> tuple[str, ...]:
    """Give the formats in which the uncompressed network is needed: its own, and those that compressed variants start from."""
    return tuple(dict.fromkeys(base_of(variant)[0] for variant in model.variants))


def base_of(variant: Variant) -> tuple[str, str]:
    """Give the form whose figures a variant takes: what its speed-up is over, else the same format uncompressed."""
    if variant.speedup is not None:
        return variant.speedup.over_precision, variant.speedup.over_compression
    return variant.precision, "none"


def carriage(variant: Variant, accelerator: Accelerator) -> tuple[float, Quality, str] | Rejection:
    """Give by what a compressed variant multiplies its base form's rates, the quality of doing so and why; or why not."""
    if (why := not_supported(accelerator, variant.precision)) is not None:
        return why
    if (speedup := variant.speedup) is not None:
        because = f"{speedup.factor:g} x the {speedup.over_precision} form ({speedup.source})"
        return speedup.factor, worst([Quality.MODELLED, speedup.quality]), because
    if variant.size_fraction <= 1:
        return 1.0, Quality.MODELLED, f"as the uncompressed {variant.precision} form, no speed-up being cited"
    message = f"{variant.size_fraction:g} times the parameters of the base form and no figure of its own"
    return Rejection(RejectionCode.NO_FIGURE, message, variant.size_fraction, 1.0)
