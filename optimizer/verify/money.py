"""Is the bill right, is the proof one, and does the rest of the arithmetic hold."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog import Quality, worst
from optimizer.plan import HEADS, HOURS_PER_MONTH, PROVED_GAP, Baseline
from optimizer.verify.changes import beside_bill, change_charges
from optimizer.verify.charges import charge_quality, heads, unit_charges
from optimizer.verify.earnings import lost_revenue, penalties, risk_charges
from optimizer.verify.facts import COMMITTED, MONEY_TOLERANCE, Facts, differs, fraction, grouped
from optimizer.verify.places import transfer_usd_per_hour
from optimizer.verify.prices import Sold


def _other_list_price(told: float | None, sold: Sold) -> bool:
    """Say whether a list price is not the instance's; where no rule changed it, it need not be told."""
    if told is None:
        return bool(sold.rules)
    return _another_price(told, sold.list_usd_per_hour)


def _another_price(told: float, price: float) -> bool:
    """Say whether two prices differ by more than rounding; either may be zero, of what is paid already."""
    return abs(fraction(told) - fraction(price)) > fraction(price) * MONEY_TOLERANCE / 1000


def price_rule(facts: Facts) -> Iterator[str]:
    """Every rental pays the instance's own price, which is not stale."""
    for r in facts.plan.rentals:
        if (r.offer, r.option) not in facts.sold:
            yield f"{r.offer} {r.option}: not for sale"
            continue
        sold = facts.paid[r.offer, r.option]
        price = sold.price
        if _another_price(r.usd_per_instance_hour, price.usd_per_hour):
            yield f"{r.offer} {r.option}: costs {price.usd_per_hour} USD/h, the plan says {r.usd_per_instance_hour}"
        if _other_list_price(r.list_usd_per_instance_hour, sold) or r.price_rules != sold.rules:
            yield f"{r.offer} {r.option}: the list price is {sold.list_usd_per_hour}, changed by {list(sold.rules)}"
        if (r.price_as_of, r.price_quality, r.price_source) != (price.as_of, price.quality, price.source):
            yield f"{r.offer} {r.option}: the price's date, quality or source is told wrongly"
        if facts.is_too_old(price):
            yield f"{r.offer} {r.option}: the price of {price.as_of} is too old"


def rent_rule(facts: Facts) -> Iterator[str]:
    """Check that a rental costs price times instances, and its deployments share it by the accelerators they use."""
    on = grouped(facts.plan.deployments, lambda d: (d.offer, d.option, d.period))
    for key, r in facts.rentals.items():
        exact = fraction(r.usd_per_instance_hour) * r.instances
        if differs(r.usd_per_hour, exact):
            yield f"{r.offer} {r.option}: {r.instances} instances cost {float(exact)} USD/h, the plan says {r.usd_per_hour}"
        mine = on.get(key, [])
        used = sum((d.replicas * d.accelerators for d in mine), Fraction(0))
        used += sum(
            x.gang * x.gangs_at_once
            for x in facts.plan.training
            if x.option in COMMITTED and key[:2] == (x.offer, x.option) and key[2] in x.periods
        )
        for d in mine:
            share = exact * d.replicas * d.accelerators / used
            if differs(d.usd_per_hour, share):
                yield f"{d.pool}: its share of {r.offer} is {float(share)} USD/h, the plan says {d.usd_per_hour}"


def bill_rule(facts: Facts) -> Iterator[str]:
    """Heads, total and month add up to the exact rent."""
    plan = facts.plan
    if set(plan.costs) != set(HEADS):
        yield f"the heads are {sorted(plan.costs)}, expected {sorted(HEADS)}"
    bill = heads(facts)
    for head, cost in plan.costs.items():
        exact = bill.get(head, Fraction(0))
        if differs(cost.usd_per_hour, exact):
            yield f"{head} is {float(exact)} USD/h, the plan says {cost.usd_per_hour}"
        if differs(cost.usd_per_month, fraction(cost.usd_per_hour) * Fraction(HOURS_PER_MONTH)):
            yield f"{head} per month is not {HOURS_PER_MONTH:g} hours of {cost.usd_per_hour}"
    total = sum(bill.values(), Fraction(0))
    if differs(plan.usd_per_hour, total):
        yield f"the plan costs {float(total)} USD/h, it says {plan.usd_per_hour}"
    if differs(plan.usd_per_month, fraction(plan.usd_per_hour) * Fraction(HOURS_PER_MONTH)):
        yield f"the month is not {HOURS_PER_MONTH:g} hours of {plan.usd_per_hour}"


def objective_rule(facts: Facts) -> Iterator[str]:
    """Check that the objective is the choice-dependent cost, what changes had to save, and for profit what is not earned."""
    total = sum(heads(facts).values(), beside_bill(facts)) - penalties(facts)
    total += lost_revenue(facts) if facts.instance.objective == "profit" else 0
    if differs(facts.plan.objective_usd, total):
        yield f"choice-dependent cost is {float(total)} USD/h, the plan says {facts.plan.objective_usd}"


def proof_rule(facts: Facts) -> Iterator[str]:
    """Check that the bound is no higher than the cost, the gap is theirs, and the status says what the gap says."""
    plan = facts.plan
    if (plan.bound_usd is None) != (plan.relative_gap is None):
        yield "bound and gap are known together or not at all"
    proved = False
    if plan.bound_usd is not None and plan.relative_gap is not None:
        cost, bound = fraction(plan.objective_usd), fraction(plan.bound_usd)
        gap = abs(cost - bound) / max(abs(cost), Fraction(1, 10**9))
        proved = plan.relative_gap <= PROVED_GAP
        if bound > cost * (1 + MONEY_TOLERANCE):
            yield f"the bound {plan.bound_usd} is above the cost {plan.objective_usd}"
        if abs(gap - fraction(plan.relative_gap)) > Fraction(1, 10**12):
            yield f"the gap is {float(gap)}, the plan says {plan.relative_gap}"
    if (plan.status == "optimal") != proved or (plan.stopped_by is None) != proved:
        yield f"status {plan.status!r} stopped by {plan.stopped_by!r} does not fit gap {plan.relative_gap}"


def baselines_rule(facts: Facts) -> Iterator[str]:
    """Check that the baselines add up, tell each workload once, and the savings are theirs."""
    for name in ("good_practice", "usual_practice"):
        told: Baseline = getattr(facts.plan.baselines, name)
        total = sum((fraction(x) for x in told.usd_per_hour_by_workload.values()), fraction(told.switched_usd_per_hour))
        saving = total - sum(heads(facts).values(), Fraction(0))
        if differs(told.usd_per_hour, total):
            yield f"{name}: its workloads sum to {float(total)} USD/h, the plan says {told.usd_per_hour}"
        off = abs(fraction(told.saving_usd_per_hour) - saving)  # a difference of two rounded sums, as exact as they are
        share = saving / max(total, Fraction(1, 10**9))
        wrong = off > MONEY_TOLERANCE * max(total, Fraction(1))
        if wrong or abs(fraction(told.saving_fraction) - share) > MONEY_TOLERANCE * max(abs(share), Fraction(1)):
            yield f"{name}: the saving is {float(saving)} USD/h, the plan tells otherwise"
        if set(told.usd_per_hour_by_workload) | set(told.missing) != {*facts.workloads, *facts.jobs} or set(told.workloads) & set(
            told.missing
        ):
            yield f"{name}: does not tell each workload once"


def quality_shares_rule(facts: Facts) -> Iterator[str]:
    """Check that the shares of cost by quality, and the oldest price, are those of the deployments."""
    total = max(sum(heads(facts).values(), Fraction(0)), Fraction(1, 10**9))
    risky = risk_charges(facts)
    charges = {quality: usd + risky[quality] for quality, usd in change_charges(facts).items()}
    for head, usd in unit_charges(facts).items():
        charges[charge_quality(facts, head)] += usd
    charges[worst(x.quality for x in facts.instance.routes)] += transfer_usd_per_hour(facts)
    for quality in Quality:
        mine = [d for d in facts.plan.deployments if d.quality is quality]
        share = sum((fraction(d.usd_per_hour) * facts.weight(d.period) for d in mine), charges[quality])
        share += sum((fraction(x.usd_per_hour) for x in facts.plan.training if x.quality is quality), Fraction(0))
        idle = [r for r in facts.plan.rentals if r.price_quality is quality and r.accelerators_used == 0]
        share += sum((fraction(r.usd_per_hour) * facts.weight(r.period) for r in idle), Fraction(0))
        share = sum((fraction(s.usd_per_hour) for s in facts.plan.switches if s.quality is quality), share) / total
        told = facts.plan.quality_shares.get(quality.value)
        if told is None or differs(told, min(share, Fraction(1))):
            yield f"{float(share):.9f} of the cost rests on {quality} figures, the plan says {told}"
    dates = [r.price_as_of for r in facts.plan.rentals] + [run.price_as_of for run in facts.plan.training]
    oldest = min(dates, default=facts.plan.oldest_price)
    if facts.plan.oldest_price != oldest:
        yield f"the oldest price is of {oldest}, the plan says {facts.plan.oldest_price}"
