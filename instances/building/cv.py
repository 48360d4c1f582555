"""cv.json: a marketplace for pictures, classified, searched for goods, tagged and generated on GPUs and TPUs.

Targets are those under which the rates were measured. Demands, people, licences other than the cited one, interruption rates and
limits are examples, each with its reason. README.md tells the story of each workload.
"""

from __future__ import annotations

from building.demands import AS_OF, EU, EXAMPLE, US, limit, rate_class, stated_rate, workload
from building.policies import PRICED_MAKING, catalogs
from building.tables import CatalogRow

CATALOGS = catalogs(["_vision", "_timm"], ["mlperf_vision", "timm"])
ANY_QUALITY = ["measured", "interpolated", "derived", "modelled", "assumed"]
NVIDIA = ["nvidia-volta", "nvidia-turing", "nvidia-ampere", "nvidia-ada", "nvidia-hopper", "nvidia-blackwell"]
NVIDIA_AI_ENTERPRISE = "4,500 USD per GPU and year, NVIDIA's earnings call for the third quarter of fiscal 2024 (November 2023)"
ENGINEER = {"usd_per_person_hour": 80, "quality": "assumed"}


def _rate(value: float, unit: str, why: str) -> list[CatalogRow]:
    return [rate_class("image", stated_rate(value, unit, why))]


def _pictures(value: float, why: str) -> list[CatalogRow]:
    """Give pictures that are sent out: 1.5 MB each, an example."""
    return [rate_class("image", stated_rate(value, "queries/s", why)) | {"gib_per_request": 0.0014}]


def workloads() -> list[CatalogRow]:
    """Give the five workloads."""
    tagging = {"allowed_quality": ANY_QUALITY, "max_spot_fraction": 0.5}
    return [
        workload(
            ("classify-uploads", "ResNet-50-v1.5", "catalogue"), [*US, *EU],
            _rate(400_000, "queries/s", "20,000 pages a second of 20 pictures, each judged anew for its reader"),
            ("p99", {"e2e": 15}), ("top-1", "ImageNet", 0.99),
            "the bound and unit of MLPerf Server", max_spot_fraction=0.25,
        ),
        workload(
            ("find-goods", "RetinaNet-ResNeXt50", "catalogue"), [*US, *EU],
            _rate(20_000, "queries/s", "of each page's pictures one is searched for goods"),
            ("p99", {"e2e": 100}), ("mAP", "OpenImages", 0.99),
            "the bound and unit of MLPerf Server", max_spot_fraction=0.25,
        ),
        workload(
            ("generate-images", "Stable-Diffusion-XL", "studio"), [*US, *EU],
            _pictures(200, "200 backgrounds a second for pictures of goods, 1024 pixels square"),
            ("p99", {"e2e": 20_000}), ("CLIP score", "COCO 2014", 0.998),
            "the bound and unit of MLPerf Server; rates of preview systems (TPU v6e) do not count", max_spot_fraction=0.3,
            origins={"internet": 1.0},
        ),
        workload(
            ("tag-feed", "timm-convnext", "feed"), [*US, *EU],
            _rate(9_000, "samples/s", "780 million pictures a day"),
            ("p99", {}), ("top-1", "ImageNet", 0.975),
            "nobody waits, so largest throughputs count; the floor holds on average over the pictures",
            floor_over="traffic_weighted", **tagging,
        ),
        workload(
            ("tag-video", "timm-convnext", "studio"), US,
            _rate(4_000, "samples/s", "a frame a second of 4,000 films at a time"),
            ("p99", {}), ("top-1", "ImageNet", 0.97),
            "nobody waits, so largest throughputs count", **tagging,
        ),
    ]  # fmt: skip


def people() -> list[CatalogRow]:
    """Give the engineers that each platform and each provider needs."""
    whole = "an engineer who keeps models compiled and tuned for this platform, beside the one everybody knows"
    part = "a fifth of an engineer for accounts, images, network and bills of one more provider"
    family = {"TPU engineers": {"kind": "tpu"}, "AMD engineers": {"family": ["amd-cdna2", "amd-cdna3", "amd-cdna4"]}}
    providers = ["aws", "azure", "gcp", "lambda", "nebius"]
    return [
        *({"name": n, "when": w, "people": 1, **ENGINEER, "source": EXAMPLE + whole} for n, w in family.items()),
        *(
            {"name": f"{p} operations", "when": {"provider": p}, "people": 0.2, **ENGINEER, "source": EXAMPLE + part}
            for p in providers
        ),
    ]


def licences() -> list[CatalogRow]:
    """Give the cited licence per NVIDIA card and an example of a flat one."""
    return [
        {
            "kind": "unit", "name": "NVIDIA AI Enterprise", "when": {"family": NVIDIA},
            "usd_per_accelerator_month": 4500 / 12, "quality": "measured", "source": NVIDIA_AI_ENTERPRISE,
        },
        {
            "kind": "flat", "name": "image studio", "when": {"model": "Stable-Diffusion-XL", "provider": ["lambda", "nebius"]},
            "usd_per_month": 2500, "quality": "assumed",
            "source": EXAMPLE + "a filter for generated pictures that large providers include and small ones do not",
        },
    ]  # fmt: skip


def routes() -> list[CatalogRow]:
    """Give what a GiB costs that is sent out to the internet."""
    why = "large providers take five cents a GiB at some hundred TiB a month; smaller ones say that it is free"
    priced = {"aws": 0.05, "azure": 0.05, "gcp": 0.06, "nebius": 0.015, "lambda": 0.0, "runpod": 0.0}
    return [
        {"provider": provider, "to": "internet", "usd_per_gib": usd, "quality": "assumed", "source": EXAMPLE + why}
        for provider, usd in priced.items()
    ]


def interruptions() -> list[CatalogRow]:
    """Give how often spot instances are taken away: no source of ours has rates."""
    lost = "the work of two minutes, a new start and half an hour of somebody's attention once in fifty times"
    rates = {"aws": 1 / 48, "gcp": 1 / 24, "nebius": 1 / 24}
    return [
        {
            "name": f"{provider} spot", "when": {"provider": provider, "option": "spot"}, "per_hour": round(rate, 4),
            "usd_each": 6, "quality": "assumed", "source": f"{EXAMPLE}once in {round(1 / rate)} hours; {lost}",
        }
        for provider, rate in rates.items()
    ]  # fmt: skip


def limits() -> list[CatalogRow]:
    """Give moderate quotas; each is an example, as no source states quotas or stock."""
    return [
        limit("lambda GH200", {"provider": "lambda", "accelerator": "GH200-96GB"}, 16, "sold one by one, rarely in stock"),
        limit("lambda others", {"provider": "lambda", "accelerator": ["H100-SXM", "H100-PCIe", "B200"]}, 16, "two instances"),
        limit("nebius", {"provider": "nebius", "option": "on_demand"}, 32, "four instances at a small provider"),
        limit("nebius spot", {"provider": "nebius", "option": "spot"}, 8, "one instance of what others leave"),
        limit("aws spot", {"provider": "aws", "option": "spot"}, 16, "two instances, as new accounts start low"),
        limit("gcp spot", {"provider": "gcp", "kind": "gpu", "option": "spot"}, 16, "two instances"),
        limit("RTX PRO", {"provider": ["aws", "gcp"], "accelerator": "RTX-PRO-6000-Server"}, 24, "three instances of a new type"),
        limit("aws H100 and H200", {"provider": "aws", "accelerator": ["H100-SXM", "H200-SXM"]}, 32, "four instances"),
        limit("gcp TPU", {"provider": "gcp", "kind": "tpu"}, 256, "a quota in chips, raised once"),
    ]


def question() -> CatalogRow:
    """Give the whole document of cv.json."""
    return {
        "schema_version": 1,
        "name": "cv",
        "description": "A marketplace's five vision workloads on rented GPUs and TPUs; numbers explained in README.md",
        "as_of": AS_OF,
        "catalogs": CATALOGS,
        "policy": PRICED_MAKING,
        "workloads": workloads(),
        "limits": limits(),
        "people": people(),
        "licences": licences(),
        "interruptions": interruptions(),
        "routes": routes(),
    }
