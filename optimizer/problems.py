"""From a document that is wrong to everything that is wrong with it, each with its place and what to do.

Two sources: what pydantic says of the shape (``validation_problems``) and what the parts of a document say of one another
(``reference_problems``). Both work on the plain JSON document, so that a file with both sorts of mistake is told both at once.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from optimizer.errors import Problem

__all__ = ["nearest", "newer_version", "not_yet_problems", "pointer", "reference_problems", "validation_problems"]

UNION_TAGS = {"serving", "batch", "training", "str", "float", "dict[constrained-str,constrained-float]"}
MATCH_FIELDS = ("provider", "region", "zone", "instance_type", "accelerator", "family", "kind", "option", "team", "workload")
PRICED = ("people", "licences", "data", "interruptions", "starts")
OPTIONS = ("on_demand", "spot", "reserved", "owned")
ACCELERATOR, MODEL = "an accelerator of the catalog", "a model of the catalog"


def pointer(parts: Iterable[str | int]) -> str:
    """Give the JSON pointer (RFC 6901) of a path.

    >>> pointer(["workloads", 3, "a/b"])
    '/workloads/3/a~1b'
    """
    return "".join("/" + _printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def nearest(word: str, known: Collection[str]) -> str:
    """Suggest known names close to a word, as a hint; the first few names when none is close.

    >>> nearest("A100", ["a100-40gb", "a100-80gb", "tpu-v5e"])
    "did you mean 'a100-80gb' or 'a100-40gb'?"
    """
    close = _close(word[:200], frozenset(known))
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    some = sorted(known)[:6]
    return "known are " + ", ".join(map(repr, some)) + (" ..." if len(known) > len(some) else "") if some else "none are known"


@lru_cache(maxsize=1024)
def _close(word: str, known: frozenset[str]) -> tuple[str, ...]:
    """Give up to three close names; remembered, since a wrong word is seldom written once."""
    lowered = {name.lower(): name for name in sorted(known, reverse=True)}
    return tuple(lowered[name] for name in difflib.get_close_matches(word.lower(), sorted(lowered), n=3, cutoff=0.6))


def newer_version(document: Mapping[str, Any], known: int, file: str) -> Problem | None:
    """Say that a document is of a later schema than this version reads; nothing else about it can be judged then."""
    found = document.get("schema_version")
    if type(found) is not int or found <= known:
        return None
    return Problem(file, "/schema_version", str(found), f"at most {known}", "a newer version of allocate wrote this; upgrade")


def validation_problems(error: ValidationError, file: str | None = None) -> list[Problem]:
    """Turn a pydantic error into problems, the several guesses of a union folded into one."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(pointer(_json_path(detail["loc"])), []).append(dict(detail))
    for place in [p for p, details in found.items() if details[0]["type"] == "too_short"]:
        if any(other.startswith(place + "/") for other in found):  # the members are there; they are what is wrong
            del found[place]
    return [_validation_problem(place, details, file) for place, details in found.items()]


def _json_path(loc: tuple[str | int, ...]) -> list[str | int]:
    """Drop the union tags that pydantic puts into a path; a JSON path does not have them."""
    path: list[str | int] = []
    for previous, part in zip((None, *loc), loc, strict=False):
        tag = isinstance(part, str) and (part in UNION_TAGS or part.startswith(("constrained-", "tuple[", "dict[")))
        if not (tag and (isinstance(previous, int) or previous in (*MATCH_FIELDS, "site", "value"))):
            path.append(part)
    return path


def _validation_problem(place: str, details: list[Mapping[str, Any]], file: str | None) -> Problem:
    detail = details[0]
    kind, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    expected = " or ".join(
        dict.fromkeys(d["msg"].removeprefix("Value error, ").removeprefix("Input should be ") for d in details)
    )
    if kind == "missing":
        return Problem(file, place, "nothing", "a value", "the field is required")
    if kind == "extra_forbidden":
        close = _close(place.rpartition("/")[2], _field_names())
        hint = "did you mean " + " or ".join(map(repr, close)) + "?" if close else ""
        return Problem(file, place, "a field this schema does not have", "", hint)
    hint = ""
    if kind == "less_than_equal" and context.get("le") == 1 and isinstance(value, int | float) and 5 <= value <= 100:
        hint = f"fractions run from 0 to 1, did you mean {value / 100:g}?"
    return Problem(file, place, _shown(value), expected, hint)


def _field_names() -> frozenset[str]:
    """Give every field name of every record that is loaded."""
    found: set[str] = set()
    kinds = list(BaseModel.__subclasses__())
    for kind in kinds:
        found |= set(kind.model_fields)
        kinds += kind.__subclasses__()
    return frozenset(found)


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _items(document: object, *path: str) -> Iterator[tuple[list[str | int], Mapping[str, Any]]]:
    """Yield (path, object) of each object in the list at a path; whatever else is there is pydantic's to refuse."""
    here = document
    for part in path:
        here = here.get(part) if isinstance(here, Mapping) else None
    for index, item in enumerate(here if isinstance(here, list | tuple) else ()):
        if isinstance(item, Mapping):
            yield [*path, index], item


def reference_problems(document: Mapping[str, Any], *, unread: Collection[str] = ()) -> list[Problem]:
    """Give every name that points nowhere, every name given twice, and every date or rate that does not fit.

    ``unread`` names catalogs of which a part could not be read: what refers to them is not judged.
    """
    known = {key: _known(document, "catalogs", key) for key in ("accelerators", "models") if key not in unread}
    found = [
        *_doubles(document),
        *_catalog_references(document, known),
        *_workload_references(document, known, offers_read="offers" not in unread),
        *_fractions(document, known.get("accelerators")),
        *_shared_pools(document, models_read="models" not in unread),
        *_match_references(document, known, offers_read="offers" not in unread),
        *_site_references(document, known),
    ]
    return [Problem(None, pointer(path), *rest) for path, *rest in found]


Finding = tuple[list[str | int], str, str, str]
Known = Mapping[str, Collection[str]]
Step = tuple[list[str | int], Mapping[str, Any]]


def _listed(value: object) -> list[Any] | tuple[Any, ...]:
    """Give the members of a list; whatever else is there is pydantic's to refuse."""
    return value if isinstance(value, list | tuple) else ()


def _names(document: object, *path: str) -> list[str]:
    return [item["name"] for _, item in _items(document, *path) if isinstance(item.get("name"), str)]


def _known(document: object, *path: str) -> frozenset[str]:
    """Names and aliases of the objects in a list."""
    aliases = [alias for _, item in _items(document, *path) for alias in _listed(item.get("aliases")) if isinstance(alias, str)]
    return frozenset([*_names(document, *path), *aliases])


def _doubles(document: Mapping[str, Any]) -> Iterator[Finding]:
    for part in ("workloads", "limits", "periods", "price_rules", "sites", *PRICED):
        yield from _twice(((p, item.get("name")) for p, item in _items(document, part)), "a name of its own")
    for key in ("accelerators", "models"):
        yield from _twice(_called(document, key), "names and aliases of its own")
    label = ("provider", "region", "zone", "instance_type")
    offers = list(_items(document, "catalogs", "offers"))
    yield from _twice(((p, tuple(map(offer.get, label))) for p, offer in offers), "one entry an offer")
    regions = ((p, (r.get("provider"), r.get("region"))) for p, r in _items(document, "catalogs", "regions"))
    yield from _twice(regions, "one entry a region")
    way = ("provider", "region", "to")
    yield from _twice(((p, tuple(map(route.get, way))) for p, route in _items(document, "routes")), "one price a route")
    kept = ((p, (x.get("provider"), x.get("region"))) for p, x in _items(document, "storage"))
    yield from _twice(kept, "one price a region")
    for path, offer in offers:
        yield from _twice(((path + p, price.get("option")) for p, price in _items(offer, "prices")), "one price an option")
    for path, model in _items(document, "catalogs", "models"):
        forms = [(path + p, (v.get("precision"), v.get("compression", "none"))) for p, v in _items(model, "variants")]
        yield from _twice(forms, "one entry a variant")
    for path, workload in _items(document, "workloads"):
        yield from _twice([(path + p, c.get("name")) for p, c in _items(workload, "classes")], "a name of its own")


def _called(document: Mapping[str, Any], key: str) -> Iterator[tuple[list[str | int], object]]:
    """Yield every name by which the entries of a catalog go."""
    for path, item in _items(document, "catalogs", key):
        yield path, item.get("name")
        yield from (([*path, "aliases", n], alias) for n, alias in enumerate(_listed(item.get("aliases"))))


def _twice(named: Iterable[tuple[list[str | int], object]], expected: str) -> Iterator[Finding]:
    seen: Counter[Hashable] = Counter()
    for path, name in named:
        if not isinstance(name, str) and not (isinstance(name, tuple) and all(n is None or isinstance(n, str) for n in name)):
            continue  # no name at all; pydantic's to refuse
        seen[name] += 1
        if seen[name] == 2:
            shown = name if isinstance(name, str) else "/".join(n for n in name if n is not None)
            yield path, f"{_shown(shown)} again", expected, "remove or rename one of the two"


def _catalog_references(document: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    for path, offer in _items(document, "catalogs", "offers"):
        yield from _unknown([*path, "accelerator"], offer.get("accelerator"), known.get("accelerators"), ACCELERATOR)
        for where, price in _items(offer, "prices"):
            yield from _day([*path, *where, "as_of"], price.get("as_of"))
    for path, profile in _items(document, "catalogs", "profiles"):
        yield from _unknown([*path, "accelerator"], profile.get("accelerator"), known.get("accelerators"), ACCELERATOR)
        yield from _unknown([*path, "model"], profile.get("model"), known.get("models"), MODEL)
    yield from _day(["as_of"], document.get("as_of"))


def _unknown(path: list[str | int], name: object, known: Collection[str] | None, expected: str) -> Iterator[Finding]:
    """Tell a name that is not among those known; None where nobody can know."""
    if known is not None and isinstance(name, str) and name not in known:
        yield path, _shown(name), expected, nearest(name, known)


def _day(path: list[str | int], text: object) -> Iterator[Finding]:
    try:
        date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        yield path, repr(text), "a day of the calendar", "write YYYY-MM-DD"


def _workload_references(document: Mapping[str, Any], known: Known, *, offers_read: bool) -> Iterator[Finding]:
    regions = _values(_sold(document), "region") if offers_read else None
    periods = set(_names(document, "periods")) or {"always"}
    if offers_read:
        yield from _insured(document)
    if not _any_demand(document):
        yield ["workloads"], "no demand: every rate is 0", "a rate above 0", ""
    earning = [path for path, w in _items(document, "workloads") if isinstance(w.get("revenue"), Mapping)]
    if document.get("objective") == "profit" and not earning:
        yield ["objective"], "'profit', while no workload earns anything", "revenue of some workload", "or the objective 'cost'"
    for path, workload in _items(document, "workloads"):
        shed, counted = workload.get("shedding"), path in earning and document.get("objective") == "profit"
        if isinstance(shed, Mapping) and shed.get("usd_per_request") == 0 and not counted:
            hint = "the objective 'profit' counts what is not earned; else all that may be left unserved would be"
            yield [*path, "shedding", "usd_per_request"], "0", "what a lost request costs", hint
        yield from _unknown([*path, "model"], workload.get("model"), known.get("models"), MODEL)
        yield from _unknown([*path, "start"], workload.get("start"), periods, "a period of the instance")
        work = workload.get("work")
        hours = work.get("accelerator_hours_on") if isinstance(work, Mapping) else None
        for name in hours if isinstance(hours, Mapping) else ():
            yield from _unknown([*path, "work", "accelerator_hours_on", name], name, known.get("accelerators"), ACCELERATOR)
        if workload.get("kind") == "batch":
            yield from _batch_window(path, workload, [p for _, p in _items(document, "periods")])
        yield from _sent([(path, workload), *((path + p, c) for p, c in _items(workload, "classes"))], workload, regions)
        for where, entry in _items(workload, "classes"):
            rate = entry.get("rate")
            value = rate.get("value") if isinstance(rate, Mapping) else None
            if isinstance(value, Mapping) and set(value) != periods:
                wanted = "one rate for each of " + ", ".join(sorted(periods))
                yield [*path, *where, "rate", "value"], f"rates for {_shown(sorted(value))}", wanted, ""


def _sent(parts: Iterable[Step], workload: Mapping[str, Any], regions: Collection[str] | None) -> Iterator[Finding]:
    """Tell regions that no offer is in, and answers of a size that go nowhere; ``parts`` are a workload and its classes."""
    for path, part in parts:
        for index, region in enumerate(_listed(part.get("regions_allowed"))):
            yield from _unknown([*path, "regions_allowed", index], region, regions, "a region some offer is in")
        for field in ("gib_per_request", "bytes_per_token"):
            if part.get(field) and not (part.get("origins") or workload.get("origins")):
                yield [*path, field], f"{_shown(part[field])} that go nowhere", "origins, of the class or the workload", ""


def _fractions(document: Mapping[str, Any], known: Collection[str] | None) -> Iterator[Finding]:
    """Tell patterns of unknown accelerators, and a second pattern of one, beside which counting slots would not be exact."""
    names = {alias: path[-1] for key in ("accelerators",) for path, alias in _alias_paths(document, key)}
    yield from _twice(((p, x.get("name")) for p, x in _items(document, "fractions")), "a name of its own")
    seen: set[object] = set()
    for path, pattern in _items(document, "fractions"):
        yield from _unknown([*path, "accelerator"], pattern.get("accelerator"), known, ACCELERATOR)
        card = names.get(pattern.get("accelerator"))
        if card is not None and card in seen:
            yield [*path, "accelerator"], f"{_shown(pattern.get('accelerator'))} again", "one pattern an accelerator", ""
        seen.add(card)


def _alias_paths(document: Mapping[str, Any], key: str) -> Iterator[tuple[list[str | int], Any]]:
    """Yield (path of the entry, name or alias) of a catalog's entries."""
    for path, item in _items(document, "catalogs", key):
        yield from ((path, alias) for alias in (item.get("name"), *_listed(item.get("aliases"))) if isinstance(alias, str))


def _shared_pools(document: Mapping[str, Any], *, models_read: bool) -> Iterator[Finding]:
    """Tell shared pools whose members are unknown, named twice, of other models or teams, or that go by a workload's name."""
    workloads = {w["name"]: w for _, w in _items(document, "workloads") if isinstance(w.get("name"), str)}
    models = {
        alias: m["name"]
        for _, m in _items(document, "catalogs", "models")
        for alias in (m.get("name"), *_listed(m.get("aliases")))
        if isinstance(m.get("name"), str) and isinstance(alias, str)
    }
    named = [*(([], name) for name in workloads), *((p, item.get("name")) for p, item in _items(document, "shared_pools"))]
    yield from _twice(named, "a name of its own, beside the workloads'")
    for path, pool in _items(document, "shared_pools"):
        names = [name for name in _listed(pool.get("workloads")) if isinstance(name, str)]
        for index, name in enumerate(names):
            yield from _unknown([*path, "workloads", index], name, workloads, "a workload")
        yield from _twice((([*path, "workloads", n], name) for n, name in enumerate(names)), "each member once")
        members = [workloads[name] for name in names if name in workloads]
        asked = {models.get(model, model) for w in members if isinstance(model := w.get("model"), str)}
        if models_read and len(asked) > 1:
            yield [*path, "workloads"], f"workloads of {_shown(sorted(asked))}", "workloads of one model", ""
        if any(w.get("kind") == "training" for w in members):
            yield [*path, "workloads"], "a training workload", "serving and batch workloads", ""
        for name in pool["adapter_memory_gib"] if isinstance(pool.get("adapter_memory_gib"), Mapping) else ():
            yield from _unknown([*path, "adapter_memory_gib", name], name, names, "a member of the pool")
        yield from _unknown([*path, "pays"], pool.get("pays"), _values(members, "team"), "a member's team")
        if pool.get("pays") is None and len({w.get("team") for w in members}) > 1:
            yield [*path, "pays"], "members of several teams", "the team that pays", "limits and budgets count the pool for it"


def _batch_window(path: list[str | int], workload: Mapping[str, Any], periods: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Tell a batch whose deadline comes before its first period ends, so that it could use none."""
    first = next((p for p in periods if p.get("name") == workload.get("start")), periods[0] if periods else {"hours": 730.0})
    hours, deadline = first.get("hours"), workload.get("deadline_hours")
    if isinstance(hours, int | float) and isinstance(deadline, int | float) and 0 < deadline < hours * (1 - 1e-9):
        hint = "give the instance periods, such as the hours of a day"
        yield (
            [*path, "deadline_hours"],
            f"{deadline:g} hours, while its first period has {hours:g}",
            "at least one whole period",
            hint,
        )


def _any_demand(document: Mapping[str, Any]) -> bool:
    """Say whether some class has a rate that is not zero, or something that is no rate at all."""
    classes = [entry for _, w in _items(document, "workloads") for _, entry in _items(w, "classes")]
    rates = [entry.get("rate") for entry in classes]
    values = [rate.get("value") if isinstance(rate, Mapping) else None for rate in rates]
    if any(w.get("kind") in ("batch", "training") for _, w in _items(document, "workloads")):
        return True
    return not classes or any(value != 0 for v in values for value in (v.values() if isinstance(v, Mapping) else (v,)))


def _values(items: Iterable[Mapping[str, Any]], field: str) -> frozenset[str]:
    return frozenset(item[field] for item in items if isinstance(item.get(field), str))


def _match_references(document: Mapping[str, Any], known: Known, *, offers_read: bool) -> Iterator[Finding]:
    offers = _sold(document)
    accelerators = [a for _, a in _items(document, "catalogs", "accelerators")]
    workloads = [w for _, w in _items(document, "workloads")]
    fits: dict[str, Collection[str]] = {"option": OPTIONS, "team": _values(workloads, "team")}
    fits["workload"], fits["site"] = _values(workloads, "name"), _names(document, "sites")
    if offers_read:
        fits |= {f: _values(offers, f) for f in ("provider", "region", "zone", "instance_type")}
    if "accelerators" in known:
        fits |= {"accelerator": known["accelerators"], **{f: _values(accelerators, f) for f in ("family", "kind")}}
    if "models" in known:
        fits["model"] = known["models"]
    yield from _month(document)
    for path, match in _matches(document):
        for field, wanted in match.items():
            for name in _listed(wanted) or (wanted,):
                yield from _unknown([*path, field], name, fits.get(field), f"a known {field.replace('_', ' ')}")
    for path, route in (*_items(document, "routes"), *_items(document, "storage")):
        for field in ("provider", "region"):
            yield from _unknown([*path, field], route.get(field), fits.get(field), f"a known {field}")
    places = [(x.get("provider"), x.get("region")) for _, x in _items(document, "storage")]
    for path, entry in _items(document, "data"):
        provider, _, region = str(entry.get("kept_in")).partition("/")
        if entry.get("kept_gib") and not any(p in (None, provider) and r in (None, region) for p, r in places):
            yield [*path, "kept_in"], _shown(entry.get("kept_in")), "a place that storage has a price for", ""
    for path, limit in _items(document, "limits"):
        if not any(limit.get(f) is not None for f in limit if str(f).startswith("max_")):
            yield path, "a limit that limits nothing", "one of the fields max_...", ""


def _sold(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give everything that a match may find: the catalog's offers, and the hosts of sites as offers."""
    hosts = [{**host, **site} for path, site in _items(document, "sites") for _, host in _items(site, "hosts")]
    return [offer for _, offer in _items(document, "catalogs", "offers")] + hosts


def _insured(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell losses of a region that take every region where a workload may be."""
    places = {(str(o.get("provider")), str(o.get("region"))) for o in _sold(document)}
    for path, workload in _items(document, "workloads"):
        allowed = workload.get("regions_allowed")
        mine = sorted("/".join(p) for p in places if allowed is None or p[1] in _listed(allowed))
        for where, entry in _items(workload, "redundancy"):
            if entry.get("event") == "region" and len(mine) == 1:
                hint = "allow another region, or insure against less"
                yield [*path, *where, "event"], f"the loss of every region it may use: {mine[0]}", "a region that is left", hint


def _site_references(document: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    """Tell sites that are not places of their own, hosts and draws that point nowhere, and accelerators of unknown draw."""
    cards = [a for _, a in _items(document, "catalogs", "accelerators") if isinstance(a.get("name"), str)]
    names = {alias: a["name"] for a in cards for alias in (a["name"], *_listed(a.get("aliases"))) if isinstance(alias, str)}
    watts = {a["name"] for a in cards if a.get("tdp_w") is not None}
    rented = {(str(o.get("provider")), str(o.get("region"))) for _, o in _items(document, "catalogs", "offers")}
    sites, taken = list(_items(document, "sites")), set(_names(document, "limits"))
    yield from _twice(((p, (s.get("provider"), s.get("region"))) for p, s in sites), "a place of its own")
    for path, site in sites:
        if (str(site.get("provider")), str(site.get("region"))) in rented:
            yield [*path, "region"], "a region where offers are rented", "a place of its own", "give the site a region of its own"
        for what, field in (("power", "max_power_kw"), ("carbon", "max_gco2_per_hour")):
            if site.get(field) is not None and f"{site.get('name')} {what}" in taken:
                yield (
                    [*path, field],
                    f"a limit named {site.get('name')} {what} beside it",
                    "a name of its own",
                    "rename the limit",
                )
        hosts, draws = ([([*path, *p], x) for p, x in _items(site, part)] for part in ("hosts", "draws"))
        yield from _twice(((p, h.get("instance_type")) for p, h in hosts), "a name of its own")
        yield from _twice(((p, names.get(str(d.get("accelerator")))) for p, d in draws), "one draw an accelerator")
        told = watts | {names.get(str(d.get("accelerator"))) for _, d in draws}
        for p, entry in (*hosts, *draws):
            yield from _unknown([*p, "accelerator"], entry.get("accelerator"), known.get("accelerators"), ACCELERATOR)
            yield from _day([*p, "as_of"], entry.get("as_of"))
            name = names.get(str(entry.get("accelerator")))
            if name is not None and name not in told:
                yield (
                    [*p, "accelerator"],
                    f"{name}, of which no draw is known",
                    "a draw",
                    "add it to the site's draws, or a tdp_w",
                )


def _matches(document: Mapping[str, Any]) -> Iterator[tuple[list[str | int], Mapping[str, Any]]]:
    """Yield (path, match) of everything that says which deployments it counts."""
    for part, field in (("limits", "match"), ("price_rules", "match"), *((part, "when") for part in PRICED)):
        for path, entry in _items(document, part):
            if isinstance(match := entry.get(field), Mapping):
                yield [*path, field], match


def _month(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell periods that together are not the month of 730 hours, within 2 %."""
    periods = [p for _, p in _items(document, "periods")]
    hours = [(p.get("hours"), p.get("per_month")) for p in periods]
    known = [h * n for h, n in hours if isinstance(h, int | float) and isinstance(n, int | float)]
    if periods and len(known) == len(periods) and abs(sum(known) / 730 - 1) > 0.02:
        yield ["periods"], f"periods that make {sum(known):g} hours a month", "730 hours in all", "hours times per_month, summed"


def not_yet_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Give every construct the schema has room for and this version does not build: refused, never ignored."""
    found: list[tuple[list[str | int], str]] = []
    for path, workload in _items(document, "workloads"):
        for where, entry in _items(workload, "classes"):
            if entry.get("prefix_cached_fraction"):
                found.append(([*path, *where, "prefix_cached_fraction"], "prefix caching"))
    hint = "remove it, or wait for the version that builds it"
    return [Problem(None, pointer(path), f"{what}, not yet supported", "", hint) for path, what in found]
