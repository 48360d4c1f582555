"""Making a variant once: calibration, pruning, distillation or fine-tuning, with the data that it needs.

One-time, USD; ``horizon.amortised_usd_per_hour`` spreads it. Paid once for all workloads that use the variant. Fine-tuning from a
base takes a fraction of the accelerator hours of training from scratch; the labelling and items given are those really needed,
so no fraction touches them. The base itself must exist: if it has to be made, it has a setup of its own.
Source: hours come with the variant in the instance, each with its source; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.data import data_usd
from optimizer.costs.horizon import FloatArray, as_floats

__all__ = ["setup_usd"]


def setup_usd(
    accelerator_hours: npt.ArrayLike,
    usd_per_accelerator_hour: npt.ArrayLike,
    labelling_hours: npt.ArrayLike = 0.0,
    usd_per_labelling_hour: npt.ArrayLike = 0.0,
    items: npt.ArrayLike = 0.0,
    usd_per_item: npt.ArrayLike = 0.0,
    fine_tuning_fraction: npt.ArrayLike = 1.0,
) -> FloatArray:
    """Give the cost of making a variant, ``fraction hours price + labelling + items``, USD.

    Parameters
    ----------
    accelerator_hours : from scratch, accelerator-hours
    usd_per_accelerator_hour : what such an hour costs, USD; stated, not chosen by the plan
    labelling_hours, usd_per_labelling_hour : work on its data, h and USD/h
    items, usd_per_item : data acquired for it, count and USD
    fine_tuning_fraction : share of the hours that starting from a base takes, in [0, 1]; 1 from scratch

    1,000 accelerator-hours of 3 USD, 10 h of labelling at 20 USD, 1,000 items of 0.5 USD; then from a base, in 5 % of the hours:

    >>> float(setup_usd(1000, 3, 10, 20, 1000, 0.5)), float(setup_usd(1000, 3, 10, 20, 1000, 0.5, 0.05))
    (3700.0, 850.0)
    """
    computing = as_floats(accelerator_hours) * as_floats(fine_tuning_fraction) * as_floats(usd_per_accelerator_hour)
    return computing + data_usd(usd_per_item, items, usd_per_labelling_hour, labelling_hours)
