"""Does a plan keep its promises? Discrete-event simulation of its pools, judged against the targets of its workloads.

The simulator takes curves and service times as data from ``optimizer.performance`` and shares no formula with it.
"""

from optimizer.simulate.arrivals import Arrivals, Bursty, Poisson, Renewal, Trace, arrivals_of, load_trace
from optimizer.simulate.judged import LossAt, simulate_plan
from optimizer.simulate.results import Simulation

__all__ = [
    "Arrivals",
    "Bursty",
    "LossAt",
    "Poisson",
    "Renewal",
    "Simulation",
    "Trace",
    "arrivals_of",
    "load_trace",
    "simulate_plan",
]
