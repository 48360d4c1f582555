"""Electricity of owned sites, and the energy and carbon of any site.

An accelerator that is on draws its idle watts and, in proportion to utilization, the rest up to its active watts; PUE adds the
site's overhead. What the host draws belongs in both figures, per accelerator. Rented instances pay no power (it is in the
rent), but their energy and carbon can be told. Units: W per accelerator, kWh per hour, USD/kWh, gCO2 per kWh.
Sources: linear power between idle and peak, Fan, Weber and Barroso, "Power provisioning for a warehouse-sized computer" (ISCA
2007); PUE, ISO/IEC 30134-2. In the examples: 0.0892 USD/kWh, EIA Electric Power Annual, Virginia, industrial average of 2023;
415.755 gCO2/kWh, EPA by way of cloud-carbon-coefficients; 700 W, the TDP of an H100-SXM; idle watts and PUE are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats

__all__ = [
    "draw_w",
    "emissions_gco2_per_hour",
    "energy_kwh_per_hour",
    "energy_usd",
    "power_rates_usd_per_hour",
    "power_usd_per_hour",
]

WATTS_PER_KILOWATT = 1000.0


def draw_w(idle_w: npt.ArrayLike, active_w: npt.ArrayLike, utilization: npt.ArrayLike) -> FloatArray:
    """Give the mean draw of an accelerator, ``idle + (active - idle) utilization``, W.

    Parameters
    ----------
    idle_w : draw when on and without work, W
    active_w : draw at full load, W, at least ``idle_w``; the TDP is the safe end
    utilization : load over capacity, in [0, 1]

    >>> float(draw_w(100, 700, 0.5))
    400.0
    """
    busy = as_floats(utilization)
    return as_floats(idle_w) * (1 - busy) + as_floats(active_w) * busy


def energy_kwh_per_hour(accelerators: npt.ArrayLike, mean_draw_w: npt.ArrayLike, pue: npt.ArrayLike = 1.0) -> FloatArray:
    """Give the energy that some accelerators take at the meter, ``accelerators mean_draw_w pue / 1000``, kWh per hour.

    The same number is the mean power in kW, which the power cap of a site limits.

    >>> float(energy_kwh_per_hour(8, 400, 1.25))
    4.0
    """
    return as_floats(accelerators) * as_floats(mean_draw_w) * as_floats(pue) / WATTS_PER_KILOWATT


def energy_usd(energy_kwh: npt.ArrayLike, usd_per_kwh: npt.ArrayLike) -> FloatArray:
    """Give the price of some energy at a tariff, USD (USD per hour for kWh per hour).

    >>> float(energy_usd(4, 0.0892))
    0.3568
    """
    return as_floats(energy_kwh) * as_floats(usd_per_kwh)


def power_usd_per_hour(
    accelerators: npt.ArrayLike,
    idle_w: npt.ArrayLike,
    active_w: npt.ArrayLike,
    utilization: npt.ArrayLike,
    pue: npt.ArrayLike,
    usd_per_kwh: npt.ArrayLike,
) -> FloatArray:
    """Give the electricity of some owned accelerators, PUE x tariff x draw, USD per hour.

    Eight H100-SXM (700 W; 100 W idle) half busy, PUE 1.25, 0.0892 USD/kWh: 8 x 400 W x 1.25 = 4 kW, at 0.0892.

    >>> float(power_usd_per_hour(8, 100, 700, 0.5, 1.25, 0.0892))
    0.3568
    """
    drawn = draw_w(idle_w, active_w, utilization)
    return energy_usd(energy_kwh_per_hour(accelerators, drawn, pue), usd_per_kwh)


def power_rates_usd_per_hour(
    idle_w: npt.ArrayLike, active_w: npt.ArrayLike, pue: npt.ArrayLike, usd_per_kwh: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Give the two prices that make power linear in a plan: of an accelerator that is on, and of one that is busy.

    ``power_usd_per_hour(N, ..., utilization)`` is the first times ``N`` plus the second times ``N utilization``, the number of
    accelerators kept busy: linear in replicas and in the load routed to them. USD per accelerator-hour.

    >>> on, busy = power_rates_usd_per_hour(100, 700, 1.25, 0.5)
    >>> float(on), float(busy), float(8 * on + 4 * busy), float(power_usd_per_hour(8, 100, 700, 0.5, 1.25, 0.5))
    (0.0625, 0.375, 2.0, 2.0)
    """
    on = energy_usd(energy_kwh_per_hour(1.0, idle_w, pue), usd_per_kwh)
    busy = energy_usd(energy_kwh_per_hour(1.0, as_floats(active_w) - as_floats(idle_w), pue), usd_per_kwh)
    return on, busy


def emissions_gco2_per_hour(energy_kwh: npt.ArrayLike, gco2_per_kwh: npt.ArrayLike) -> FloatArray:
    """Give the carbon of some energy at a region's grid factor, location-based: gCO2 per hour for kWh per hour.

    4 kWh an hour in aws/us-east-1:

    >>> round(float(emissions_gco2_per_hour(4, 415.755)), 9)
    1663.02
    """
    return as_floats(energy_kwh) * as_floats(gco2_per_kwh)
