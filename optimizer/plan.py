"""The plan: a frozen, verified answer that carries its bill, its proof and what it rests on.

A plan knows the instance by name and hash and nothing above it. Money is USD, rates per second in the class's own unit, times
ms, shares exact decimals that sum to one. ``bound_usd`` and ``objective_usd`` are choice-dependent USD per hour.
"""

from __future__ import annotations

import json
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from optimizer.catalog.record import Fraction01, NonNegative, Positive, PositiveInt, Quality, Record
from optimizer.documents import read_document
from optimizer.errors import InvalidInputError
from optimizer.instance import HOURS_PER_MONTH, Recourse
from optimizer.problems import newer_version, validation_problems

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "HEADS",
    "HOURS_PER_MONTH",
    "PROVED_GAP",
    "Baseline",
    "Baselines",
    "ChangeUse",
    "Commitment",
    "Deployment",
    "Earning",
    "EnergyUse",
    "HeadCost",
    "InstanceKey",
    "LatencyFigure",
    "LimitUse",
    "PeriodChange",
    "Plan",
    "Recourse",
    "Rental",
    "Route",
    "SwitchUse",
    "TrainingRun",
    "Unserved",
    "Verification",
    "WorkloadResult",
    "load_plan",
    "relative_gap",
]

HEADS = ("compute", "power", "storage", "transfer", "data", "people", "licence", "setup", "maintenance", "risk")
PROVED_GAP = 1e-6


def relative_gap(cost: float, bound: float) -> float:
    """Give the distance of cost and bound over the size of the cost, at least 1e-9.

    >>> relative_gap(200.0, 198.0)
    0.01
    """
    return abs(cost - bound) / max(abs(cost), 1e-9)


class InstanceKey(Record):
    """Which question a plan answers."""

    name: str
    hash: str
    as_of: str


class HeadCost(Record):
    """One head of the bill."""

    usd_per_hour: float
    usd_per_month: float


class Deployment(Record):
    """Replicas of one configuration on one offer under one option in one period. ``pool`` ties them to the routing.

    ``workloads`` are those it may serve: one, or all members of the ``shared_pool``.
    Energy and carbon are at the meter, of the accelerators on for them and of their part of the pool's load; null is unknown.
    """

    pool: str
    workloads: tuple[str, ...]
    shared_pool: str | None = None
    model: str
    precision: str
    compression: str
    accelerator: str
    accelerators_per_replica: PositiveInt
    pattern: str | None = None
    slots: PositiveInt = 1
    engine: str | None
    engine_version: str | None
    tensor: PositiveInt
    pipeline: PositiveInt
    attention_data: PositiveInt | None
    expert: PositiveInt | None
    availability: str
    replicas: PositiveInt
    provider: str
    region: str
    offer: str
    option: str
    period: str
    quality: Quality
    usd_per_hour: NonNegative
    kwh_per_hour: NonNegative | None
    gco2_per_hour: NonNegative | None
    basis: str

    @property
    def accelerators(self) -> Fraction:
        """Give the accelerators that one replica takes: whole ones, or one of the ``slots`` of a ``pattern``."""
        return Fraction(self.accelerators_per_replica, self.slots)


class Rental(Record):
    """Whole instances rented of one offer under one option, and how many of their accelerators replicas use."""

    offer: str
    option: str
    period: str
    accelerator: str
    accelerators_per_instance: PositiveInt
    instances: PositiveInt
    accelerators_used: Annotated[int, Field(ge=0)] | NonNegative
    usd_per_instance_hour: Positive
    usd_per_hour: NonNegative
    price_as_of: str
    price_quality: Quality
    price_source: str
    list_usd_per_instance_hour: float | None = None
    price_rules: tuple[str, ...] = ()


class SwitchUse(Record):
    """A cost that the plan switches on, by what is in use."""

    name: str
    head: str
    usd_per_hour: NonNegative
    pools: tuple[str, ...]
    quality: Quality
    source: str


class PeriodChange(Record):
    """Replicas of a pool on an offer in a period, before and after, and what the change costs spread over its time.

    Before is the previous period where replicas start and stop, and the plan in force where plans are compared.
    """

    pool: str
    offer: str
    option: str
    period: str
    before: Annotated[int, Field(ge=0)]
    after: Annotated[int, Field(ge=0)]
    usd_per_hour: NonNegative
    quality: Quality


class TrainingRun(Record):
    """How a training job runs: one gang's configuration and offer, the wall hours of one run, and what it costs.

    ``work_hours``, ``checkpoint_hours`` and the ``lost_hours`` of expected ``interruptions`` make up ``hours``. ``finish_hours``
    count from the job's start. ``gangs_at_once`` gangs of ``instances`` each are occupied in ``periods``. ``usd_per_hour`` is the
    rent over the month by use, or the share of a commitment that its accelerators are of those in use.
    """

    job: str
    model: str
    precision: str
    compression: str
    accelerator: str
    gang: PositiveInt
    tensor: PositiveInt
    pipeline: PositiveInt
    data_parallel: PositiveInt
    memory_gib: NonNegative
    provider: str
    region: str
    offer: str
    option: str
    instances: PositiveInt
    gangs_at_once: PositiveInt
    periods: tuple[str, ...]
    work_hours: Positive
    checkpoint_hours: NonNegative
    interruptions: NonNegative
    lost_hours: NonNegative
    hours: Positive
    finish_hours: Positive
    deadline_hours: Positive
    runs_per_month: Positive
    accuracy_kept: float | None
    usd_per_instance_hour: Positive
    usd_per_hour: NonNegative
    price_as_of: str
    price_quality: Quality
    quality: Quality
    basis: str


class Commitment(Record):
    """Reserved or owned instances of the plan in force, kept."""

    offer: str
    option: str
    instances: PositiveInt


class ChangeUse(Record):
    """What a plan changes against the plan in force, under ``policy.change``.

    ``moves`` are the replicas of each pool, offer and period that differ; ``gone`` what could not be kept. Replicas ``started``
    and ``stopped`` are means over the month. ``usd`` is what the change costs once, ``usd_per_hour`` the same over the policy's
    horizon. ``saving_asked_usd_per_hour`` is what changing anything had to save: it is in ``objective_usd``, not in the bill.
    """

    plan_in_force: str
    moves: tuple[PeriodChange, ...]
    gone: tuple[PeriodChange, ...]
    started: NonNegative
    stopped: NonNegative
    changed_fraction: Fraction01
    usd: NonNegative
    usd_per_hour: NonNegative
    saving_asked_usd_per_hour: NonNegative
    commitments: tuple[Commitment, ...]


class Unserved(Record):
    """The share of a class in a period (of a volume: of its first) that is left unserved, what it costs and does not earn."""

    workload: str
    request_class: str
    period: str
    share: Fraction01
    requests_per_hour: NonNegative
    usd_per_hour: NonNegative
    lost_revenue_usd_per_hour: NonNegative
    quality: Quality


class Earning(Record):
    """What a workload earns and what is its own of the bill, USD per hour of the month.

    ``own_usd_per_hour`` is its share of rents and the sending of its answers; what workloads share (people, licences, data,
    setup, maintenance, storage) is not divided among them.
    """

    workload: str
    revenue_usd_per_hour: NonNegative
    own_usd_per_hour: NonNegative
    unserved_usd_per_hour: NonNegative
    penalty_usd_per_hour: NonNegative
    margin_usd_per_hour: float


class Route(Record):
    """The share of one class that one pool serves, and what sending its answers costs while the period lasts."""

    workload: str
    request_class: str
    period: str
    pool: str
    share: Fraction01
    transfer_usd_per_hour: NonNegative = 0.0


class LatencyFigure(Record):
    """What a class gets from a pool, against its target."""

    request_class: str
    pool: str
    quantity: str
    statistic: str
    target_ms: Positive
    value_ms: Positive
    basis: str


class WorkloadResult(Record):
    """A workload's requirements against what the plan gives it.

    ``usd_per_hour`` is the rent of its own pools and, of each shared pool, the share that it is of the pool's load in the month;
    ``utilization`` is that of its own pools and of the shared ones that it is routed to.
    """

    name: str
    model: str
    accuracy_metric: str | None
    accuracy_floor: float | None
    accuracy_kept: float | None
    latency: tuple[LatencyFigure, ...]
    utilization: Fraction01
    utilization_cap: Fraction01
    usd_per_hour: NonNegative
    binding_limits: tuple[str, ...]


class LimitUse(Record):
    """How much of a limit the plan uses; binding when one more instance or replica that it counts would not fit."""

    name: str
    unit: str
    used: NonNegative
    most: NonNegative
    binding: bool
    quality: Quality
    reason: str


class EnergyUse(Record):
    """What the plan draws and emits in the mean of the month, where known: null where unknown for all of it.

    The fractions say for what share of the accelerators in its instances the data tell energy, and carbon.
    """

    kwh_per_hour: NonNegative | None
    gco2_per_hour: NonNegative | None
    energy_known_fraction: Fraction01
    carbon_known_fraction: Fraction01


class Baseline(Record):
    """What a simpler way of choosing would cost: every workload alone on its cheapest single type, on demand.

    ``usd_per_hour`` is the sum over workloads and ``switched_usd_per_hour``, what their choices switch on together, paid once.
    """

    usd_per_hour: NonNegative
    saving_usd_per_hour: float
    saving_fraction: float
    workloads: dict[str, str]
    usd_per_hour_by_workload: dict[str, NonNegative]
    switched_usd_per_hour: NonNegative
    missing: tuple[str, ...]
    limits_broken_together: tuple[str, ...]


class Baselines(Record):
    """Good practice chooses among all precisions; usual practice takes 16-bit where it exists."""

    good_practice: Baseline
    usual_practice: Baseline


class Verification(Record):
    """What ``verify`` found: rules checked, and failures (none in a plan that anyone sees)."""

    passed: bool
    rules: tuple[str, ...]
    failures: tuple[str, ...] = ()


class Plan(Record):
    """One verified answer to one instance."""

    schema_version: Literal[1] = 1
    instance: InstanceKey
    status: Literal["optimal", "feasible"]
    stopped_by: Literal["gap", "time", "interrupt"] | None
    objective_usd: NonNegative
    bound_usd: float | None
    relative_gap: float | None
    bound_source: str
    usd_per_hour: NonNegative
    usd_per_month: NonNegative
    costs: dict[str, HeadCost]
    deployments: tuple[Deployment, ...]
    rentals: tuple[Rental, ...]
    switches: tuple[SwitchUse, ...]
    starts: tuple[PeriodChange, ...] = ()
    change: ChangeUse | None = None
    routing: tuple[Route, ...]
    recourse: tuple[Recourse, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    earnings: tuple[Earning, ...] = ()
    revenue_usd_per_hour: NonNegative | None = None
    profit_usd_per_hour: float | None = None
    training: tuple[TrainingRun, ...] = ()
    workloads: tuple[WorkloadResult, ...]
    limits: tuple[LimitUse, ...]
    baselines: Baselines
    energy: EnergyUse
    quality_shares: dict[str, Fraction01]
    oldest_price: str
    assumptions: tuple[str, ...]
    candidates: dict[str, int]
    backend: str
    backend_version: str
    method: str
    seed: int = 0
    requested_gap: NonNegative = Field(default=1e-4)
    solve_seconds: NonNegative
    verification: Verification
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Give the plan as indented JSON; the same plan gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def replicas(self) -> dict[str, int]:
        """Count replicas by accelerator, over all workloads."""
        counts: dict[str, int] = {}
        for deployment in self.deployments:
            counts[deployment.accelerator] = counts.get(deployment.accelerator, 0) + deployment.replicas
        return counts

    def deployment_table(self) -> pd.DataFrame:
        """Give one row a deployment, as a DataFrame."""
        return _frame(self.deployments, Deployment)

    def rental_table(self) -> pd.DataFrame:
        """Give one row a rented offer, as a DataFrame."""
        return _frame(self.rentals, Rental)

    def switch_table(self) -> pd.DataFrame:
        """Give one row a cost that is switched on, as a DataFrame."""
        return _frame(self.switches, SwitchUse)

    def start_table(self) -> pd.DataFrame:
        """Give one row a priced change of replicas between periods, as a DataFrame."""
        return _frame(self.starts, PeriodChange)

    def routing_table(self) -> pd.DataFrame:
        """Give one row a class and pool, as a DataFrame."""
        return _frame(self.routing, Route)

    def training_table(self) -> pd.DataFrame:
        """Give one row a training job, as a DataFrame."""
        return _frame(self.training, TrainingRun)

    def latency_table(self) -> pd.DataFrame:
        """Give one row a latency figure, as a DataFrame."""
        import pandas as pd

        rows = [{"workload": w.name, **figure.model_dump(mode="json")} for w in self.workloads for figure in w.latency]
        return pd.DataFrame(rows, columns=["workload", *LatencyFigure.model_fields])

    def cost_table(self) -> pd.DataFrame:
        """Give one row a head of the bill, as a DataFrame."""
        import pandas as pd

        rows = [{"head": head, **cost.model_dump()} for head, cost in self.costs.items()]
        return pd.DataFrame(rows, columns=["head", *HeadCost.model_fields])

    def limit_table(self) -> pd.DataFrame:
        """Give one row a limit, as a DataFrame."""
        return _frame(self.limits, LimitUse)

    def _repr_html_(self) -> str:
        """Show the plan in a notebook: the headline and the deployments."""
        shown = ["workloads", "model", "precision", "compression", "accelerator", "accelerators_per_replica", "replicas"]
        table = self.deployment_table()[[*shown, "offer", "option", "usd_per_hour"]].to_html(index=False)
        gap = "no bound known" if self.relative_gap is None else f"gap {self.relative_gap:.2g}"
        saving = self.baselines.good_practice.saving_fraction
        head = f"<b>{escape(self.instance.name)}</b>: {self.usd_per_hour:,.2f} USD/h ({self.status}, {gap}), "
        return head + f"{saving:.1%} below good practice" + table


def _frame(records: tuple[Record, ...], kind: type[Record]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([record.model_dump(mode="json") for record in records], columns=list(kind.model_fields))


def load_plan(path: str | Path) -> Plan:
    """Read a plan file.

    Raises
    ------
    InvalidInputError : the file is missing, not a plan, or of another schema version
    """
    path = Path(path)
    document = read_document(path)
    if newer := newer_version(document, 1, str(path)):
        raise InvalidInputError(f"{path} cannot be used as a plan", [newer])
    try:
        return Plan.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise InvalidInputError(f"{path} cannot be used as a plan", validation_problems(error, str(path))) from None
