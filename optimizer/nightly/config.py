"""What a nightly job is told: the instance, its feeds, how to forecast, what to refuse and where to publish."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from optimizer.catalog.record import Fraction01, Name, NonNegative, Positive, PositiveInt, Record
from optimizer.documents import refused, text_of
from optimizer.errors import InvalidInputError
from optimizer.instance.policy import ChangePolicy
from optimizer.problems import validation_problems

__all__ = ["DemandFeed", "ForecastPolicy", "Guards", "NightlyConfig", "PriceFeed", "Publication", "QuotaFeed", "load_config"]


class _Feed(Record):
    """A file that somebody else writes, with a manifest that says how long it must be."""

    name: Name
    path: str
    manifest: str | None = None
    max_age_hours: Positive = 72.0


class PriceFeed(_Feed):
    """All prices of one provider; an offer that it leaves out is gone. A price may move by ``max_factor`` a night, up or down."""

    provider: Name
    max_factor: Annotated[float, Field(gt=1)] = 5.0


class QuotaFeed(_Feed):
    """New amounts for limits of the instance, by name."""


class DemandFeed(Record):
    """Hourly rates by workload and class, from a table or from Prometheus.

    For Prometheus, ``query`` must give series with labels ``workload`` and ``request_class``.
    """

    name: Name = "demand"
    kind: Literal["csv", "parquet", "prometheus"]
    path: str | None = None
    manifest: str | None = None
    url: str | None = None
    query: str | None = None
    max_age_hours: Positive = 30.0
    timeout_s: Positive = 20.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.kind == "prometheus" and not (self.url and self.query):
            raise ValueError("a Prometheus feed needs url and query")
        if self.kind != "prometheus" and not self.path:
            raise ValueError(f"a feed of kind {self.kind} needs a path")
        return self


class Feeds(Record):
    """Where news come from; what has no feed stays as the instance has it."""

    prices: tuple[PriceFeed, ...] = ()
    quotas: tuple[QuotaFeed, ...] = ()
    demand: DemandFeed | None = None


class ForecastPolicy(Record):
    """How far and how safely to look ahead: the plan must carry the ``quantile`` of each hour's forecast."""

    method: Literal["seasonal", "holt_winters"] = "seasonal"
    horizon_hours: Annotated[int, Field(ge=24, le=168)] = 24
    history_days: PositiveInt = 28
    quantile: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    backtest_days: PositiveInt = 7


class SolvePolicy(Record):
    """How a plan is looked for; the same meaning as on the command line. ``simulate_requests`` a pool judge the plan, if any."""

    backend: str = "auto"
    time_limit_s: Positive = 120.0
    gap: NonNegative = 1e-3
    method: str = "auto"
    threads: PositiveInt = 1
    seed: Annotated[int, Field(ge=0)] = 0
    simulate_requests: PositiveInt | None = None


class Guards(Record):
    """What refuses a plan; the last good one then stays. None asks nothing."""

    max_cost_rise_fraction: NonNegative | None = 0.25
    max_changed_fraction: NonNegative | None = 0.5
    max_gap: Fraction01 | None = 0.02
    max_price_age_days: NonNegative | None = None


class Publication(Record):
    """Where a plan goes. URLs may come from the environment: ``ALLOCATE_NIGHTLY_PUSHGATEWAY``, ``ALLOCATE_NIGHTLY_WEBHOOK``."""

    directory: str = "plans"
    valid_hours: Positive = 26.0
    metrics_textfile: str | None = "allocate.prom"
    pushgateway_url: str | None = None
    webhook_url: str | None = None
    timeout_s: Positive = 10.0


class NightlyConfig(Record):
    """A whole nightly job. Paths are relative to the configuration's folder; ``change`` stands in for the instance's own."""

    schema_version: Literal[1] = 1
    instance: str
    state: str = "state"
    store: str | None = None
    keep_days: PositiveInt = 400
    feeds: Feeds = Feeds()
    forecast: ForecastPolicy = ForecastPolicy()
    solve: SolvePolicy = SolvePolicy()
    change: ChangePolicy | None = None
    guards: Guards = Guards()
    publish: Publication = Publication()
    base: str = Field(default=".", exclude=True)

    def at(self, path: str) -> Path:
        """Give a path of the configuration, relative to its own folder."""
        return Path(self.base) / path

    @property
    def state_folder(self) -> Path:
        """Give the folder of the lock and the embedded store."""
        return self.at(self.state)

    @property
    def plans_folder(self) -> Path:
        """Give the folder of published plans."""
        return self.at(self.publish.directory)

    @property
    def store_url(self) -> str:
        """Give the store's URL: the environment first, for it may hold a password; a file in the state folder by default."""
        return os.environ.get("ALLOCATE_NIGHTLY_STORE") or self.store or f"sqlite:///{self.state_folder / 'store.sqlite'}"

    @property
    def hash(self) -> str:
        """Give the SHA-256 of all that may change a plan."""
        return hashlib.sha256(self.model_dump_json(exclude={"store", "keep_days", "publish"}).encode()).hexdigest()


def load_config(path: str | Path) -> NightlyConfig:
    """Read a configuration, YAML or JSON.

    Raises
    ------
    InvalidInputError : the file is missing or wrong; every problem is told
    """
    import yaml

    path = Path(path)
    text = text_of(path)
    try:
        document = yaml.load(text, _strict_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        raise refused(path, str(getattr(error, "problem", error)), "YAML", "", place) from None
    if not isinstance(document, dict):
        raise refused(path, f"a {type(document).__name__} at the top", "a mapping of settings", "")
    try:
        return NightlyConfig.model_validate(document | {"base": str(path.parent)}, strict=False)
    except ValidationError as error:
        raise InvalidInputError(f"{path} cannot be used", validation_problems(error, str(path))) from None


def _strict_loader() -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        """Safe, and no key twice."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} twice", node.start_mark)
        return dict(loader.construct_pairs(node, deep=True))

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Strict
