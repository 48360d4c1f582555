"""The whole of an instance: catalogs, workloads, limits, policy and what is paid, held together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticSerializationError, to_json

from optimizer.catalog import Accelerator, Model, Offer, Profile, Quality, Record, Region, worst
from optimizer.catalog.efficiencies import Efficiencies
from optimizer.catalog.record import Day, Name, Text
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance.demand import HOURS_PER_MONTH, BatchWorkload, Period, ServingWorkload, TrainingWorkload, Workload
from optimizer.instance.limits import Limit
from optimizer.instance.places import RoutePrice, StoragePrice
from optimizer.instance.policy import Policy
from optimizer.instance.priced import DataSet, Interruption, Licence, People, StartPrice
from optimizer.instance.prices import PriceRule
from optimizer.instance.sharing import FractionPattern, SharedPool, merged
from optimizer.instance.sites import Draw, Site
from optimizer.problems import not_yet_problems, reference_problems, validation_problems

__all__ = ["SCHEMA_VERSION", "Catalogs", "Instance"]

SCHEMA_VERSION = 1


class Catalogs(Record):
    """What can be bought and run, and what electricity emits where."""

    accelerators: tuple[Accelerator, ...]
    offers: tuple[Offer, ...]
    models: tuple[Model, ...]
    profiles: tuple[Profile, ...] = ()
    efficiencies: Annotated[tuple[Efficiencies, ...], Field(max_length=1)] = ()
    regions: tuple[Region, ...] = ()


class Instance(Record):
    """One complete planning question. ``as_of`` is the day ages are counted from; the clock is never read."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)]
    name: Name
    description: Text = ""
    as_of: Day
    time_zone: Name = "UTC"
    objective: Literal["cost", "profit"] = "cost"
    periods: tuple[Period, ...] = (Period(name="always", hours=HOURS_PER_MONTH, per_month=1.0),)
    policy: Policy = Policy()
    catalogs: Catalogs
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    shared_pools: tuple[SharedPool, ...] = ()
    fractions: tuple[FractionPattern, ...] = ()
    limits: tuple[Limit, ...] = ()
    people: tuple[People, ...] = ()
    licences: tuple[Licence, ...] = ()
    data: tuple[DataSet, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    routes: tuple[RoutePrice, ...] = ()
    starts: tuple[StartPrice, ...] = ()
    storage: tuple[StoragePrice, ...] = ()
    price_rules: tuple[PriceRule, ...] = ()
    sites: tuple[Site, ...] = ()

    @model_validator(mode="after")
    def _references_hold(self, info: ValidationInfo) -> Instance:
        if not (info.context or {}).get("references_checked"):
            document = self.model_dump(mode="json")
            if problems := reference_problems(document) + not_yet_problems(document):
                raise InvalidInputError("the instance does not hold together", problems)
        return self

    def replace(self, **changes: Any) -> Instance:
        """Give a changed copy, validated anew; the original stays as it was.

        Raises
        ------
        InvalidInputError : a change does not fit the schema or breaks a reference.
        """
        checked, problems = {}, []
        for name, value in changes.items():
            try:
                checked[name] = _as_field(name, value) if name in type(self).model_fields else value
            except ValidationError as error:
                problems += [dataclasses.replace(p, pointer=f"/{name}{p.pointer}") for p in validation_problems(error)]
            except PydanticSerializationError as error:
                problems.append(Problem(None, f"/{name}", str(error), "plain values or records"))
        try:
            if not problems:
                return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | checked)
        except ValidationError as error:
            problems = validation_problems(error)
        raise InvalidInputError("the changed instance is not valid", problems)

    def of(self, workloads: Iterable[Workload], shared_pools: Iterable[SharedPool] = ()) -> Instance:
        """Give the question of some of the workloads, everything else as it is; what names others of them then names nothing."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_construct(**fields | {"workloads": tuple(workloads), "shared_pools": tuple(shared_pools)})

    @cached_property
    def hash(self) -> str:
        """Give the SHA-256 of the canonical JSON of the whole question, catalogs included."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def named(self) -> Mapping[str, Workload]:
        """Give the workloads by name."""
        return {w.name: w for w in self.workloads}

    @cached_property
    def demands(self) -> tuple[ServingWorkload, ...]:
        """Give every workload as a serving one, batches as their volume, in order of name."""
        found = [w.as_serving(self.periods) if isinstance(w, BatchWorkload) else w for w in self.workloads]
        return tuple(sorted((w for w in found if isinstance(w, ServingWorkload)), key=lambda w: w.name))

    @cached_property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """Give the workloads behind each owner of pools, in order of name: a workload is its own, shared pools have several."""
        found = {w.name: (w.name,) for w in self.demands}
        return found | {s.name: tuple(sorted(s.workloads)) for s in sorted(self.shared_pools, key=lambda s: s.name)}

    @cached_property
    def owners(self) -> tuple[ServingWorkload, ...]:
        """Give what pools may belong to: every demand, then every shared pool as one workload of all its members' classes."""
        demands, pools = {w.name: w for w in self.demands}, {s.name: s for s in self.shared_pools}
        shared = [merged(pools[name], [demands[w] for w in self.members[name]]) for name in sorted(pools)]
        return (*self.demands, *shared)

    @cached_property
    def batches(self) -> frozenset[str]:
        """Give the names of the batch workloads, whose shares sum to one over all periods together."""
        return frozenset(w.name for w in self.workloads if isinstance(w, BatchWorkload))

    @cached_property
    def jobs(self) -> tuple[TrainingWorkload, ...]:
        """Give the training workloads, in order of name."""
        return tuple(sorted((w for w in self.workloads if isinstance(w, TrainingWorkload)), key=lambda w: w.name))

    @cached_property
    def all_limits(self) -> tuple[Limit, ...]:
        """Give the limits, and behind them the sites' own caps, in order of name."""
        return (*self.limits, *(limit for site in sorted(self.sites, key=lambda s: s.name) for limit in site.limits))

    @cached_property
    def site_at(self) -> Mapping[str, Site]:
        """Give the sites by place, ``provider/region``."""
        return {site.label: site for site in self.sites}

    @cached_property
    def power_quality(self) -> Quality:
        """Give the quality of the sites' electricity bills: the worst of their tariffs, PUE and draws."""
        draws = [self.draw(site.label, h.accelerator) for site in self.sites for h in site.hosts]
        figures = [f.quality for site in self.sites for f in (site.usd_per_kwh, site.pue)]
        return worst([*figures, *(d.quality for d in draws if d is not None)])

    def draw(self, place: str, accelerator: str) -> Draw | None:
        """Give what an accelerator draws at a place: as its site tells, else by its TDP; None where nobody knows."""
        card = self.accelerators[accelerator]
        told = self.site_at[place].draws if place in self.site_at else ()
        for draw in told:
            if self.accelerators[draw.accelerator] is card:
                return draw
        if card.tdp_w is None:
            return None
        share = self.policy.idle_share_of_tdp
        quality = worst([share.quality, card.quality])
        idle_w = share.value * card.tdp_w
        return Draw(accelerator=card.name, idle_w=idle_w, active_w=card.tdp_w, quality=quality, source=card.source)

    @cached_property
    def accelerators(self) -> Mapping[str, Accelerator]:
        """Give the accelerators by name and alias."""
        return {name: a for a in self.catalogs.accelerators for name in (a.name, *a.aliases)}

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Give the models by name and alias."""
        return {name: m for m in self.catalogs.models for name in (m.name, *m.aliases)}


def _as_field(name: str, value: object) -> Any:
    """Judge a value for a field as if a file held it: a changed copy of a record was never validated, a list is no tuple."""
    return _adapter(name).validate_json(to_json(value, inf_nan_mode="constants"), strict=True)


@lru_cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = Instance.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(kind)
