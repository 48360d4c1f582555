"""Two questions made into one that shares nothing: no priced switch, limit, instance, commitment or name."""

from __future__ import annotations

import json
from typing import Any

from optimizer.instance import Instance
from tests.optimizer.full import CARDS, REGIONS, full_instance

PLACES = (("p", "r"), ("p", "s"), ("us", "h"))


def scoped(seed: int, policy_of: int | None = None) -> dict[str, Any]:
    """Give a full question in which every cost, limit and rule says which cards or places it means, with a policy of another.

    A budget on everything cannot say so and is left out.
    """
    document: dict[str, Any] = full_instance(seed).model_dump(mode="json")
    document["policy"] = full_instance(seed if policy_of is None else policy_of).model_dump(mode="json")["policy"]
    document["limits"] = [limit for limit in document["limits"] if any(limit["match"].values())]
    for part, field in (("limits", "match"), ("price_rules", "match"), *((part, "when") for part in WHEN)):
        for entry in document[part]:
            entry[field]["accelerator"] = entry[field]["accelerator"] or list(CARDS)
    document["storage"] = document["storage"] or [{"usd_per_gib_month": 0.0}]  # where nothing is stated, storage is free
    providers = ("p", "us") if document["sites"] else ("p",)
    for part in ("routes", "storage"):
        document[part] = [{**entry, "provider": p} for entry in document[part] for p in providers]
    return document


WHEN = ("people", "licences", "data", "interruptions", "starts")
TOLD = (*WHEN, "limits", "price_rules")
KEPT, FIELDS = ("kind", "periods"), ("shared", "batch")
NAMES = {*CARDS, *REGIONS, "h", "m", "n", "p", "us", "home", "w0", "w1", "batch", "job", "rare", "shared", "cut"}
NAMES |= {"team-w0", "team-w1", "family-a", "family-b", *(f"{p}/{r}" for p, r in PLACES)}


def renamed(part: Any) -> Any:
    """Give a document with every name another one; what two questions share by nature (periods, formats) keeps its own."""
    if isinstance(part, dict):
        kept = {key: value for key, value in part.items() if key in KEPT}
        return {(key if key in FIELDS else other(key)): renamed(value) for key, value in part.items()} | kept
    if isinstance(part, list):
        return [renamed(entry) for entry in part]
    return other(part) if isinstance(part, str) else part


def other(word: str) -> str:
    """Give another name for a name, and any other word as it is."""
    return "/".join(f"{name}-two" for name in word.split("/")) if word in NAMES else word


def merged(one: dict[str, Any], two: dict[str, Any]) -> Instance:
    """Give both questions as one, the second under other names."""
    second, whole = renamed(two), json.loads(json.dumps(one))
    whole["catalogs"] = {part: [*entries, *second["catalogs"][part]] for part, entries in whole["catalogs"].items()}
    for part, entries in whole.items():
        if isinstance(entries, list) and part != "periods":
            whole[part] = [*entries, *({**x, "name": f"{x['name']} two"} if part in TOLD else x for x in second[part])]
    return read(whole)


def read(document: dict[str, Any]) -> Instance:
    """Read a document as a file would be."""
    return Instance.model_validate_json(json.dumps(document))
