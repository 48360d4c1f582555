"""Acquiring and labelling data, bought once for all that use it: ``C_data = c1 D + c2 T``.

One-time, USD; ``horizon.amortised_usd_per_hour`` spreads it. Keeping data is the head `storage`, moving it `transfer`, and data
that only the making of one variant needs is in `setup`. Source: the form is the published one of the project's articles; prices
are the user's own.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats

__all__ = ["data_usd"]


def data_usd(
    usd_per_item: npt.ArrayLike, items: npt.ArrayLike, usd_per_labelling_hour: npt.ArrayLike, labelling_hours: npt.ArrayLike
) -> FloatArray:
    """Give the cost of a data set, ``C_data = c1 D + c2 T``, USD.

    Parameters
    ----------
    usd_per_item : c1, acquisition, USD per item
    items : D, items acquired
    usd_per_labelling_hour : c2, labelling, USD per hour of work
    labelling_hours : T, hours of labelling

    Published example (a), 10 USD x 1000 items + 20 USD/h x 100 h:

    >>> float(data_usd(10, 1000, 20, 100))
    12000.0
    """
    return as_floats(usd_per_item) * as_floats(items) + as_floats(usd_per_labelling_hour) * as_floats(labelling_hours)
