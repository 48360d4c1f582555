"""Who asks and where: regions, demand from the traces or stated outright, and the shape of one workload."""

from __future__ import annotations

from building.tables import CatalogRow, RawRow

AS_OF = "2026-11-22"
EXAMPLE = "an example: "
US = [
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "eastus", "eastus2", "southcentralus", "westus2", "westus3",
    "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west4", "US",
]  # fmt: skip
EU = [
    "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3", "eu-south-1", "francecentral", "germanywestcentral", "italynorth",
    "northeurope", "polandcentral", "spaincentral", "swedencentral", "westeurope", "europe-north1", "europe-west1",
    "europe-west3", "europe-west4", "europe-west8", "europe-west9", "eu-north1", "eu-west1", "FR", "NL", "SE", "DK", "CZ", "RO",
]  # fmt: skip
CONVERSATION, CODE = "azure_llm_2023_conv", "azure_llm_2023_code"


class Traffic:
    """Demands from the traces: peak rates, answer lengths and shares of prompt lengths, times a factor."""

    def __init__(self, traces: list[RawRow], sizes: list[RawRow]) -> None:
        """Index the trace summaries and keep the length buckets."""
        self._traces = {row["trace"]: row for row in traces}
        self._sizes = sizes

    def requests(self, trace: str, scale: float, why: str, unit: str = "requests/s", share: float = 1.0) -> CatalogRow:
        """Give the peak minute's requests per second, scaled."""
        raw = self._traces[trace]
        return self._rate(float(raw["peak_minute_requests_per_s"]) * scale * share, unit, scale, raw, why)

    def output_tokens(self, trace: str, scale: float, why: str) -> CatalogRow:
        """Give the peak minute's output tokens per second, scaled."""
        raw = self._traces[trace]
        tokens = float(raw["peak_minute_requests_per_s"]) * float(raw["mean_output_tokens"])
        return self._rate(
            tokens * scale, "tokens/s", scale, raw, f"requests times {raw['mean_output_tokens']} output tokens; {why}"
        )

    def share_of_prompts(self, trace: str, low: int, high: int) -> float:
        """Give the share of a trace's requests whose input bucket starts within low ... high."""
        mine = [row for row in self._sizes if row["trace"] == trace]
        inside = sum(int(row["requests"]) for row in mine if low <= int(row["input_tokens_bucket"].split("-")[0]) <= high)
        return inside / sum(int(row["requests"]) for row in mine)

    @staticmethod
    def _rate(value: float, unit: str, scale: float, raw: RawRow, why: str) -> CatalogRow:
        return {
            "value": float(f"{value:.4g}"),
            "unit": unit,
            "statistic": "peak_minute",
            "scale": scale,
            "quality": "assumed",
            "source": f"{raw['source'].replace(' @', '@')}, its peak minute times {scale:g}: {why}",
        }


def rate_class(name: str, rate: CatalogRow, input_tokens: int | None = None, output_tokens: int | None = None) -> CatalogRow:
    """Give one class of requests; without lengths it keeps those of the benchmark."""
    tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens} if input_tokens else {}
    return {"name": name, **tokens, "rate": rate}


def workload(
    names: tuple[str, str, str],
    regions: list[str],
    classes: list[CatalogRow],
    latency: tuple[str, dict[str, float]],
    floor: tuple[str, str, float],
    note: str,
    floor_over: str = "per_request",
    **more: object,
) -> CatalogRow:
    """Give one serving workload; ``names`` are its own, its model's and its team's, ``floor`` a metric, evaluation, fraction."""
    name, model, team = names
    statistic, bounds = latency
    averaged = {} if floor_over == "per_request" else {"aggregation": floor_over}
    return {
        "name": name,
        "kind": "serving",
        "model": model,
        "team": team,
        "regions_allowed": regions,
        "classes": classes,
        "latency": [{"quantity": quantity, "statistic": statistic, "at_most_ms": bound} for quantity, bound in bounds.items()],
        "accuracy": dict(zip(("metric", "evaluation", "floor_fraction_of_baseline"), floor, strict=True)) | averaged,
        **more,
        "note": note,
    }


def stated_rate(value: float | dict[str, float], unit: str, why: str, statistic: str = "peak_minute") -> CatalogRow:
    """Give a demand that no trace tells: a number of our own with its reason, or one for each period."""
    return {"value": value, "unit": unit, "statistic": statistic, "quality": "assumed", "source": EXAMPLE + why}


def limit(name: str, match: CatalogRow, most: int, why: str, counts: str = "max_accelerators") -> CatalogRow:
    """Give a supply limit; each is an example, as no source states quotas or stock."""
    return {"name": name, "match": match, counts: most, "quality": "assumed", "reason": f"{EXAMPLE}{why}"}
