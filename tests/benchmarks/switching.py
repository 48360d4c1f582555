"""Ways to switch off one head or row family in a question, and what a plan made with it would cost there."""

from __future__ import annotations

from collections.abc import Callable

from optimizer import Instance, Plan
from optimizer.catalog import Option
from optimizer.instance import Aggregation, Host

Change = Callable[[Instance], Instance]
FREE = {"usd_per_replica_start": 0.0, "usd_per_replica_stop": 0.0}
NO_FLOOR = {"floor_fraction_of_baseline": 0.01}
Kept = Callable[[Plan], float]


def as_it_is(plan: Plan) -> float:
    """Give what a plan costs that the change leaves as it was, USD per hour."""
    return plan.objective_usd


def less(*heads: str) -> Kept:
    """Give what a plan costs without some lines of the bill."""
    return lambda plan: plan.objective_usd - sum(cost.usd_per_hour for name, cost in plan.costs.items() if name in heads)


def less_switches(head: str, word: str = "") -> Kept:
    """Give what a plan costs without the switches of a head, those only whose name has a word in it."""
    return lambda plan: plan.objective_usd - sum(s.usd_per_hour for s in plan.switches if s.head == head and word in s.name)


def less_unit_licences(plan: Plan) -> float:
    """Give what a plan costs without what is paid per accelerator."""
    return less("licence")(plan) + plan.objective_usd - less_switches("licence")(plan)


def without_revenue(plan: Plan) -> float:
    """Give what a plan costs where revenue that is lost does not count."""
    return plan.usd_per_hour


def with_change(**changes: object) -> Change:
    """Give the question with fields of what is said of changes to a plan in force changed."""
    return lambda q: q.replace(
        policy=q.policy.model_copy(update={"change": q.policy.change and q.policy.change.model_copy(update=changes)})
    )


def less_change(plan: Plan) -> float:
    """Give what a plan costs without what changing to it costs."""
    return plan.objective_usd - (plan.change.usd_per_hour + plan.change.saving_asked_usd_per_hour if plan.change else 0.0)


def without(*names: str) -> Change:
    """Give the question with lists of entries taken out."""
    return lambda q: q.replace(**{name: [] for name in names})


def without_unit_licences(q: Instance) -> Instance:
    """Take out what is paid per accelerator; flat licences stay."""
    return q.replace(licences=[x for x in q.licences if x.kind == "flat"])


def without_flat_licences(q: Instance) -> Instance:
    """Take out what is paid once; licences per accelerator stay."""
    return q.replace(licences=[x for x in q.licences if x.kind == "unit"])


def without_setup(q: Instance) -> Instance:
    """Let every form be there already."""
    return q.replace(policy=q.policy.model_copy(update={"setup": None}))


def without_maintenance(q: Instance) -> Instance:
    """Let no form cost anything to keep."""
    free = {"maintenance_usd_per_month": 0.0}
    models = [m.model_copy(update={"variants": tuple(v.model_copy(update=free) for v in m.variants)}) for m in q.catalogs.models]
    return q.replace(catalogs=q.catalogs.model_copy(update={"models": tuple(models)}))


def without_switches(q: Instance) -> Instance:
    """Take out all that is paid once something is in use."""
    return without_maintenance(without_setup(without("people", "data")(q)))


def without_reserved(q: Instance) -> Instance:
    """Take out reserved prices."""
    paid_by_use = [(o, tuple(p for p in o.prices if p.option.value != "reserved")) for o in q.catalogs.offers]
    kept = tuple(o.model_copy(update={"prices": prices}) for o, prices in paid_by_use if prices)
    return q.replace(catalogs=q.catalogs.model_copy(update={"offers": kept}))


def with_workloads(**changes: object) -> Change:
    """Give the question with the same fields changed in every workload."""
    return lambda q: q.replace(workloads=[w.model_copy(update=changes) for w in q.workloads])


def without_floors(q: Instance) -> Instance:
    """Let any accuracy do, as long as it is known."""
    return q.replace(
        workloads=[w.model_copy(update={"accuracy": w.accuracy and w.accuracy.model_copy(update=NO_FLOOR)}) for w in q.workloads]
    )


def without_average_floors(q: Instance) -> Instance:
    """Let any accuracy do where a floor holds on average; floors for each request stay."""
    averaged = [w for w in q.workloads if w.accuracy and w.accuracy.aggregation is Aggregation.TRAFFIC_WEIGHTED]
    free = {w.name: w.model_copy(update={"accuracy": w.accuracy.model_copy(update=NO_FLOOR)}) for w in averaged if w.accuracy}
    return q.replace(workloads=[free.get(w.name, w) for w in q.workloads])


def with_jobs(**changes: object) -> Change:
    """Give the question with the same fields changed in every training job that may start at any time."""
    return lambda q: q.replace(
        workloads=[w.model_copy(update=changes) if w.kind == "training" and w.start is None else w for w in q.workloads]
    )


def reserved_by_use(q: Instance) -> Instance:
    """Let what is reserved be paid by the hour at its reserved price: nothing is held through quiet hours."""
    reserved, by_use = Option.RESERVED, {"option": Option.ON_DEMAND}
    offers = []
    for o in q.catalogs.offers:
        held = [p for p in o.prices if p.option is reserved]
        rest = [p for p in o.prices if p.option is not reserved and not (held and p.option is Option.ON_DEMAND)]
        offers.append(o.model_copy(update={"prices": (*rest, *(p.model_copy(update=by_use) for p in held))}))
    return q.replace(catalogs=q.catalogs.model_copy(update={"offers": tuple(offers)}))


def one_by_one(q: Instance) -> Instance:
    """Let what is sold in lots be bought one by one."""
    offers = [
        o.model_copy(update={"prices": tuple(p.model_copy(update={"lot": 1}) for p in o.prices)}) for o in q.catalogs.offers
    ]
    return q.replace(catalogs=q.catalogs.model_copy(update={"offers": tuple(offers)}))


def hosts_by_the_card(q: Instance) -> Instance:
    """Let own machines be bought, and held, one card at a time."""
    return q.replace(sites=[s.model_copy(update={"hosts": tuple(_by_the_card(h) for h in s.hosts)}) for s in q.sites])


def _by_the_card(host: Host) -> Host:
    cards = host.accelerators_per_host
    parts = {"accelerators_per_host": 1, "available": host.available * cards}
    usd = {"purchase_usd": host.purchase_usd and host.purchase_usd / cards, "residual_usd": host.residual_usd / cards}
    return host.model_copy(update=parts | usd | {"maintenance_usd_per_year": host.maintenance_usd_per_year / cards})


def free_storage(q: Instance) -> Instance:
    """Let keeping and fetching cost nothing."""
    free = {"usd_per_gib_month": 0.0, "usd_per_gib_fetched": 0.0}
    return q.replace(storage=[x.model_copy(update=free) for x in q.storage])


def without_change_policy(q: Instance) -> Instance:
    """Let what is changed cost nothing."""
    return q.replace(policy=q.policy.model_copy(update={"change": None}))


def without_shedding(q: Instance) -> Instance:
    """Let everything be served."""
    return q.replace(workloads=[w.model_copy(update={"shedding": None}) for w in q.workloads])


def insured_against(*events: str) -> Change:
    """Give the question with only these losses insured against."""
    return lambda q: q.replace(
        workloads=[
            w.model_copy(update={"redundancy": tuple(r for r in w.redundancy or () if r.event.value in events)})
            if w.kind == "serving"
            else w
            for w in q.workloads
        ]
    )


def for_least_cost(q: Instance) -> Instance:
    """Ask for least cost, where most profit was asked."""
    return q.replace(objective="cost")


def to_the_brim(q: Instance) -> Instance:
    """Let replicas be loaded to the rate at which every target just holds."""
    return q.replace(policy=q.policy.model_copy(update={"utilization_cap": 1.0}))


def before_adapters(q: Instance) -> Instance:
    """Give the question as it was when nothing shared a pool, with nothing in force."""
    return without_change_policy(q.replace(shared_pools=[]))


def before_the_rules(q: Instance) -> Instance:
    """Give the question as it was at list prices, with nothing in force."""
    return without_change_policy(q.replace(price_rules=[]))


def with_sites(**changes: object) -> Change:
    """Give the question with the same fields changed at every site."""
    return lambda q: q.replace(sites=[s.model_copy(update=changes) for s in q.sites])


def without_limit(name: str) -> Change:
    """Give the question without one limit."""
    return lambda q: q.replace(limits=[x for x in q.limits if x.name != name])


def free_routes(q: Instance) -> Instance:
    """Let nothing that is sent cost anything."""
    return q.replace(routes=[r.model_copy(update={"usd_per_gib": 0.0}) for r in q.routes])


def free_power(q: Instance) -> Instance:
    """Let electricity cost next to nothing; a tariff is never zero."""
    free = [s.model_copy(update={"usd_per_kwh": s.usd_per_kwh.model_copy(update={"value": 1e-9})}) for s in q.sites]
    return q.replace(sites=free)


def without_sites(q: Instance) -> Instance:
    """Own nothing."""
    places = {s.region for s in q.sites}
    workloads = [
        w.model_copy(update={"regions_allowed": tuple(r for r in w.regions_allowed or () if r not in places)})
        for w in q.workloads
    ]
    mine = [x for x in q.limits if x.match.provider != "own" and x.match.option != "owned"]
    routes = [r for r in q.routes if r.provider != "own"]
    return q.replace(sites=[], workloads=workloads, limits=mine, routes=routes)


def without_jobs(q: Instance) -> Instance:
    """Train nothing."""
    return q.replace(workloads=[w for w in q.workloads if w.kind != "training"])


def at_the_peak(q: Instance) -> Instance:
    """Plan one period in which every class is at its busiest."""
    workloads = []
    for w in q.workloads:
        rates = [(c, c.rate.value) for c in w.classes]
        peaks = [(c, max(v.values()) if isinstance(v, dict) else v) for c, v in rates]
        classes = [c.model_copy(update={"rate": c.rate.model_copy(update={"value": v})}) for c, v in peaks]
        workloads.append(w.model_copy(update={"classes": tuple(classes)}))
    return q.replace(workloads=workloads, periods=[{"name": "always", "hours": 730.0, "per_month": 1.0}])
