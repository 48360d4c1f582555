"""The whole pipeline on one screen: instance → compiled → solution → plan → verified plan."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optimizer.errors import BackendFailedError, CheckFailedError, Problem, UsageError, VerificationError

if TYPE_CHECKING:
    from optimizer.instance import Instance
    from optimizer.performance import Performance
    from optimizer.plan import Plan
    from optimizer.simulate import Simulation
    from optimizer.solve import Learned
    from solvers import Progress as SolverProgress

__all__ = ["DEFAULT", "METHODS", "Cancel", "Options", "Progress", "allocate", "allocate_simulated", "verified"]

METHODS = ("auto", "direct", "decompose")
CLUSTER = r"((tcp|tls|ws|wss)://)?[^/\s]+:\d{1,5}"
SIMULATION_ROUNDS = 5
"""Plans made and simulated before giving up; a pool's load falls to what was seen to hold, so that two are the rule."""


@dataclass(frozen=True)
class Options:
    """How a plan is looked for; the same meaning on every backend.

    ``time_limit_s`` wall seconds for the solver, ``relative_gap`` where it may stop, ``threads`` per solve, ``seed`` of the
    backend, ``strict_prices`` refuses (exit 7) where offers without a usable price would be left out, ``cluster`` is the
    address of a Dask scheduler whose workers solve the blocks of large questions.
    """

    backend: str = "auto"
    time_limit_s: float = 120.0
    relative_gap: float = 1e-4
    method: str = "auto"
    threads: int = 1
    seed: int = 0
    strict_prices: bool = False
    cluster: str | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning, before anything is computed."""
        wrong = []
        if not 0 <= self.time_limit_s <= 1e7:  # NaN is neither
            wrong.append(f"time_limit_s is {self.time_limit_s!r}, expected seconds from 0 to 1e7")
        if not (math.isfinite(self.relative_gap) and 0 <= self.relative_gap < 1):
            wrong.append(f"relative_gap is {self.relative_gap!r}, expected a fraction from 0 to below 1")
        if self.method not in METHODS:
            wrong.append(f"method is {self.method!r}, expected one of {', '.join(METHODS)}")
        if not 1 <= self.threads <= 1024 or not 0 <= self.seed < 2**31:
            wrong.append(f"threads is {self.threads!r} and seed {self.seed!r}, expected 1 to 1024 and 0 to 2^31 - 1")
        if self.cluster is not None and not re.fullmatch(CLUSTER, self.cluster):
            wrong.append(f"cluster is {self.cluster!r}, expected an address such as tcp://10.0.0.1:8786")
        if wrong:
            raise UsageError("; ".join(wrong))


@dataclass(frozen=True)
class Progress:
    """Where a solve stands: seconds so far, and USD per hour of the best plan and of the bound, None while unknown."""

    seconds: float
    usd_per_hour: float | None
    bound_usd: float | None
    relative_gap: float | None


class Cancel(Protocol):
    """Anything that says whether to stop, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Say whether to stop now."""
        ...


DEFAULT = Options()


def allocate(
    instance: Instance,
    options: Options = DEFAULT,
    *,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], Any] | None = None,
    cancel: Cancel | None = None,
    load_shares: Mapping[str, float] | None = None,
    learned: Learned | None = None,
    on_learned: Callable[[Learned], Any] | None = None,
) -> Plan:
    """Find the least-cost plan for an instance, prove how good it is, and verify it.

    Parameters
    ----------
    instance : the planning question
    options : backend, limits and gap
    plan_in_force : a plan whose choices the solver starts from; it changes the optimum only as ``policy.change`` says
    on_progress : called now and then with a ``Progress``, from any thread
    cancel : polled; when set, the best plan so far is returned
    load_shares : the part of its load that a replica may carry, by ``workload: configuration``; all of it for the others
    learned : what an earlier solve of a like question told ``on_learned``: a start, which no plan rests on; ``bound_source`` says
        of how many blocks, the same to the last bit, it was proved then what they cost at least
    on_learned : called once, after a solve in blocks; a solve of the whole model learns nothing

    Raises
    ------
    InfeasibleError, NoPlanError, BackendFailedError, CheckFailedError : no plan; the facts are in ``problems``
    UnavailableError, UsageError, InvalidInputError : the cluster asked for cannot be had, or holds another version
    VerificationError : our own check refused our own plan: a bug
    """
    from optimizer.decode import compared_candidates, decode
    from optimizer.solve import reached, solve_question
    from solvers import SolverError

    with reached(options.cluster) as cluster:
        if options.strict_prices:
            _refuse_unpriced(instance)
        try:
            compiled, solution, method = solve_question(
                instance,
                options,
                compared_candidates,
                load_shares=load_shares,
                plan_in_force=plan_in_force,
                on_progress=None if on_progress is None else _told(on_progress),
                cancel=cancel,
                cluster=cluster,
                learned=learned,
                on_learned=on_learned,
            )
        except SolverError as error:
            raise BackendFailedError(f"backend {options.backend}: {error}") from error
    plan = decode(compiled, solution, method=method, requested_gap=options.relative_gap, seed=options.seed)
    return verified(plan, instance, plan_in_force, compiled.candidates.performance)


def allocate_simulated(
    instance: Instance,
    options: Options = DEFAULT,
    *,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], Any] | None = None,
    cancel: Cancel | None = None,
    requests: int = 1_000_000,
    learned: Learned | None = None,
    on_learned: Callable[[Learned], Any] | None = None,
) -> Plan:
    """Find a plan of which every simulated pool meets its targets: pools that miss are loaded less, and the plan is made anew.

    Raises
    ------
    CheckFailedError : a pool holds at no load tried, or pools still miss after ``SIMULATION_ROUNDS``
    AllocationError : for any reason for which ``allocate`` gives no plan
    """
    from optimizer.simulate import simulate_plan

    shares: dict[str, float] = {}
    for _ in range(SIMULATION_ROUNDS):
        plan = allocate(
            instance,
            options,
            plan_in_force=plan_in_force,
            on_progress=on_progress,
            cancel=cancel,
            load_shares=shares,
            learned=learned,
            on_learned=on_learned,
        )
        found = simulate_plan(instance, plan, requests=requests, seed=options.seed, losses=True)
        if found.holds:
            return plan.model_copy(update={"assumptions": (*plan.assumptions, *_simulated(found, shares))})
        for pool in found.pools:
            if pool.remedy is not None:
                share, name = pool.remedy.load_share, pool.pool.rpartition(" in ")[0]
                if share is None:
                    raise CheckFailedError(
                        "a target is missed at any load", [Problem(None, pool.pool, "nothing tried holds", "")]
                    )
                shares[name] = shares.get(name, 1.0) * share
    problems = [Problem(None, pool.pool, f"{f.statistic} {f.quantity} misses {f.target_ms:g} ms", "") for pool, f in found.misses]
    raise CheckFailedError(f"pools miss their targets in simulation after {SIMULATION_ROUNDS} plans", problems)


def _simulated(found: Simulation, shares: Mapping[str, float]) -> list[str]:
    """Say what was simulated, and which pools are loaded less for it."""
    told = [
        f"simulated with {found.requests_per_pool:,} requests a pool, {found.arrivals}, shared by {found.balancer}: every "
        f"target holds; {found.held_share:.1%} of the busy accelerators are in pools that were not simulated"
    ]
    return told + [f"{name} is loaded to {share:.1%} of what its figures allow, as simulated" for name, share in shares.items()]


def _refuse_unpriced(instance: Instance) -> None:
    """Refuse an instance some of whose offers or routes have no usable price."""
    from optimizer.compile import unjudged

    asked = unjudged(instance)
    missing = [Problem(None, accelerator, f"{offer}: {why}", "") for accelerator, offer, why in asked.offers.left_out]
    missing += [Problem(None, "/routes", text, "") for text in asked.unpriced]
    if missing:
        raise CheckFailedError("--strict-prices: offers or routes without a usable price", missing)


def verified(plan: Plan, instance: Instance, plan_in_force: Plan | None = None, known: Performance | None = None) -> Plan:
    """Give the plan with its verification in it; raises VerificationError when a rule refuses it."""
    from optimizer.verify import verify_plan

    verification = verify_plan(instance, plan, plan_in_force, known)
    if not verification.passed:
        raise VerificationError(
            "the plan found does not pass its own verification", [Problem(None, "", f, "") for f in verification.failures]
        )
    return plan.model_copy(update={"verification": verification})


def _told(on_progress: Callable[[Progress], Any]) -> Callable[[SolverProgress], None]:
    def tell(p: SolverProgress) -> None:
        on_progress(Progress(p.seconds, p.incumbent, p.bound, p.gap))

    return tell
