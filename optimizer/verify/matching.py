"""Does a match fit a deployment or an offer; verify's own reading of ``Match``."""

from __future__ import annotations

from optimizer.catalog import Offer
from optimizer.instance import Match, ServingWorkload, TrainingWorkload
from optimizer.plan import Deployment, TrainingRun
from optimizer.verify.facts import Facts

__all__ = ["offer_fits", "pool_fits", "replica_fits"]


def offer_fits(match: Match, offer: Offer, option: str, facts: Facts) -> bool:
    """Say whether an offer under an option is what the match asks of offers."""
    accelerator = facts.instance.accelerators[offer.accelerator]
    site = facts.instance.site_at.get(f"{offer.provider}/{offer.region}")
    pairs = (
        (match.provider, offer.provider),
        (match.region, offer.region),
        (match.zone, offer.zone),
        (match.instance_type, offer.instance_type),
        (match.accelerator, accelerator.name),
        (match.family, accelerator.family),
        (match.kind, accelerator.kind.value),
        (match.option, option),
        (match.site, site.name if site is not None else None),
    )
    return all(_among(wanted, fact) for wanted, fact in pairs)


def replica_fits(match: Match, d: Deployment | TrainingRun, owner: ServingWorkload | TrainingWorkload) -> bool:
    """Say whether a deployment or training run is what the match asks of replicas: by whom, and what they serve.

    A shared pool counts whole for each workload it may serve, and for the one team that pays.
    """
    pairs = (
        (match.team, owner.team),
        (match.model, d.model),
        (match.precision, d.precision),
        (match.compression, d.compression),
    )
    named = any(_among(match.workload, name) for name in (d.workloads if isinstance(d, Deployment) else (d.job,)))
    return named and all(_among(wanted, fact) for wanted, fact in pairs)


def pool_fits(
    match: Match, d: Deployment | TrainingRun, owner: ServingWorkload | TrainingWorkload, offer: Offer, facts: Facts
) -> bool:
    """Say whether a deployment's pool or a training run is what the match asks of pools."""
    return replica_fits(match, d, owner) and offer_fits(match, offer, d.option, facts)


def _among(wanted: str | tuple[str, ...] | None, fact: str | None) -> bool:
    return wanted is None or fact == wanted or (isinstance(wanted, tuple) and fact in wanted)
