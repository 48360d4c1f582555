"""Expected loss: interruptions of what may be taken away, and penalties for service levels missed.

Means over time, in USD per hour; the spread around them is not a cost here but a matter of redundancy. Interruption rates
are stated in the instance (no source of ours has any), so are penalties. Source: expected value of a Poisson stream of events.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["interruption_usd_per_hour", "penalty_usd_per_hour"]


def interruption_usd_per_hour(
    instances: npt.ArrayLike, interruptions_per_instance_hour: npt.ArrayLike, usd_per_interruption: npt.ArrayLike
) -> FloatArray:
    """Give the expected loss to interruptions, ``instances rate cost``, USD per hour.

    Twelve spot instances, each lost once in 48 h, 6 USD of lost work and restart each time:

    >>> float(interruption_usd_per_hour(12, 1 / 48, 6))
    1.5
    """
    return as_floats(instances) * as_floats(interruptions_per_instance_hour) * as_floats(usd_per_interruption)


def penalty_usd_per_hour(breaches_per_month: npt.ArrayLike, usd_per_breach: npt.ArrayLike) -> FloatArray:
    """Give the expected penalties, ``breaches_per_month usd_per_breach / 730``, USD per hour: a constant of the plan.

    One breach in ten months at 7,300 USD:

    >>> float(penalty_usd_per_hour(0.1, 7300))
    1.0
    """
    return hourly_usd(as_floats(breaches_per_month) * as_floats(usd_per_breach))
