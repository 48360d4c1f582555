"""science.json: a hospital group's research house: dictation by day, scans and hearings in batches, and four training jobs.

Rates and the target of dictation are measured; work of the training jobs is measured throughput times stated data, or operations
at a stated utilization. Demands, deadlines, people, interruption rates and limits are examples, each with its reason. README.md
tells the story of each workload.
"""

from __future__ import annotations

from building.cv import ANY_QUALITY, ENGINEER
from building.demands import AS_OF, EXAMPLE, limit, rate_class, stated_rate, workload
from building.dialogue import OFFERS, REGIONS
from building.policies import catalogs
from building.recommendation import PERIODS
from building.tables import CatalogRow

CATALOGS = catalogs(["_vision", "_speech", ""], ["mlperf_vision", "mlperf_speech"]) | {"offers": OFFERS}
HERE = sorted({region for regions in REGIONS.values() for region in regions})
UNET, SPEECH, WHISPER, WRITER = "3D-UNet-KiTS19", "RNN-T", "Whisper-Large-v3", "Llama-3.1-8B-Instruct"
NNUNET = "NVIDIA/DeepLearningExamples:PyTorch/Segmentation/nnUNet/README.md@1347d7c"
PATCHES = 10 * 5 * 1000 * 250 * 2
"""Ten organs, five folds, 1000 epochs of 250 batches of 2 (nnU-Net's defaults: Isensee et al., Nature Methods 18, 2021)."""
PATCHES_PER_S = 9.52
"""Patches of 128 cubed in mixed precision on one A100-SXM-80GB, batch 4 (NNUNET)."""
SCANS_PER_S = {
    "A100-SXM-80GB": 3.85, "A100-PCIe-80GB": 3.5, "A100-SXM-40GB": 3.16, "GH200-96GB": 6.74, "H100-NVL": 5.46, "H100-PCIe": 4.66,
    "H100-SXM": 6.9, "H200-SXM": 6.8, "L4": 1.1, "L40S": 3.9,
}  # fmt: skip
"""Best rates of one card in `profiles_mlperf_vision.csv`, 3D-UNet Offline. They compare cards, no more."""
PHRASES_PER_S = {"A100-SXM-80GB": 14_336, "A100-PCIe-80GB": 13_555, "H100-PCIe": 17_392, "H100-SXM": 23_106}
"""The same of RNN-T, `profiles_mlperf_speech.csv`."""
GANG_OF_8 = round(74.29 / (8 * 9.52), 4)
"""Share of perfect scaling that eight A100 keep: 74.29 patches/s (NNUNET)."""
AUDIO_HOURS, EPOCHS, POSITIONS_PER_HOUR = 10_000, 3, 120 * 1500
"""Positions of an hour of speech in Whisper's encoder: 120 windows of 30 s, 1500 each (Radford et al., 2022, section 2.2)."""


def _batch(names: tuple[str, str, str], volume: CatalogRow, floor: tuple[str, float], note: str) -> CatalogRow:
    """Give a volume of work by a deadline; half an hour lost to an interruption hurts nobody, so all of it may be spot."""
    accuracy = dict(zip(("metric", "evaluation", "floor_fraction_of_baseline"), (*floor[0].split(" on "), floor[1]), strict=True))
    return {
        "name": names[0], "kind": "batch", "model": names[1], "team": names[2], "regions_allowed": HERE, **volume,
        "accuracy": accuracy, "max_spot_fraction": 1, "note": note,
    }  # fmt: skip


def _served() -> list[CatalogRow]:
    """Give dictation and the three batches."""
    why = "a phrase every 20 s in 3 million consultations at a time; by night a fifth"
    spoken = stated_rate({"day": 150_000, "night": 30_000}, "queries/s", why)
    night = {"volume_requests": 600_000, "unit": "samples", "deadline_hours": 10, "start": "night"}
    archive = {"volume_requests": 1_500_000, "unit": "samples", "deadline_hours": 24}
    hearings = {"volume_requests": 2_000_000_000, "unit": "tokens", "deadline_hours": 24}
    return [
        workload(
            ("dictation", SPEECH, "clinic"), HERE, [rate_class("phrase", spoken)], ("p99", {"e2e": 1000}),
            ("word accuracy", "LibriSpeech", 0.99), "the bound and unit of MLPerf Server", max_spot_fraction=0.25,
        ),
        _batch(("segment-new", UNET, "imaging"), night, ("DICE on KiTS19", 0.99), "the day's scans, for the morning"),
        _batch(("segment-archive", UNET, "imaging"), archive, ("DICE on KiTS19", 0.99), "old scans, as many as a day takes"),
        _batch(("transcribe", WHISPER, "records"), hearings, ("word accuracy on LibriSpeech", 0.99), "recorded consultations"),
    ]  # fmt: skip


def _doubling(kept: float, from_gang: int, why: str) -> CatalogRow:
    return {"kept_per_doubling": kept, "from_gang": from_gang, "quality": "assumed", "source": EXAMPLE + why}


def _checkpoint(gib: float, write: float, restart: float) -> CatalogRow:
    why = "an hour between checkpoints; a new machine, its data and the last checkpoint until work goes on"
    return {
        "gib": gib, "write_seconds": write, "interval_hours": 1, "restart_seconds": restart, "quality": "assumed",
        "source": EXAMPLE + why,
    }  # fmt: skip


def _job(name: str, model: str, team: str, note: str, **more: object) -> CatalogRow:
    shared = {"allowed_quality": ANY_QUALITY, "max_spot_fraction": 1, "max_instances": 4, "regions_allowed": HERE}
    return {"name": name, "kind": "training", "model": model, "team": team, **shared, **more, "note": note}


def _compared(hours: float, rates: dict[str, float]) -> dict[str, float]:
    """Give the hours of each card from those of an A100, in the ratio of rates measured in inference."""
    return {card: round(hours * rates["A100-SXM-80GB"] / rate, 1) for card, rate in rates.items()}


def _organs() -> CatalogRow:
    hours = _compared(PATCHES / PATCHES_PER_S / 3600, SCANS_PER_S)
    source = f"{PATCHES:,} patches (10 organs x 5 folds, an example; nnU-Net's default length) at {PATCHES_PER_S} a second on "
    source += f"an A100 ({NNUNET}); other cards in the ratio of 3D-UNet's MLPerf rates, assumed"
    table = [{"gang": 8, "kept_fraction": GANG_OF_8, "quality": "measured", "source": NNUNET}]
    table += [
        {"gang": gang, "kept_fraction": kept, "quality": "assumed", "source": EXAMPLE + "0.95 a doubling beyond one machine"}
        for gang, kept in ((16, 0.927), (32, 0.88))
    ]
    return _job(
        "train-organs", UNET, "imaging", "new scans each week; networks of the brain stand in for the kidney's",
        work={"accelerator_hours_on": hours, "precision": "fp16", "quality": "assumed", "source": source},
        gangs=[8, 16, 32], deadline_hours=72, runs_per_month=4.3452381, scaling={"table": table},
        precisions=[{"precision": "fp16"}],
        memory={"activations_gib": 12, "source": EXAMPLE + "four patches fit into a V100 of 16 GB (the same source)"},
        checkpoint=_checkpoint(0.5, 5, 600),
    )  # fmt: skip


def _phrases() -> CatalogRow:
    return _job(
        "adapt-dictation", SPEECH, "clinic", "each night on what was corrected by day, ready in the morning",
        work={
            "accelerator_hours_on": _compared(120, PHRASES_PER_S), "precision": "fp16", "quality": "assumed",
            "source": EXAMPLE + "120 hours of an A100 for a night's corrections; others in the ratio of RNN-T's MLPerf rates",
        },
        gangs=[8, 16, 32], deadline_hours=10, start="night", runs_per_month=30.4166667, precisions=[{"precision": "fp16"}],
        scaling=_doubling(0.93, 8, "93 % a doubling beyond one machine"),
        memory={"parameters_b": 0.05, "activations_gib": 10, "source": EXAMPLE + "50 million parameters"},
        checkpoint=_checkpoint(0.8, 5, 600),
    )  # fmt: skip


def _hearings() -> CatalogRow:
    source = f"6 N D: {AUDIO_HOURS:,} hours of speech, {EPOCHS} epochs, {POSITIONS_PER_HOUR:,} positions of the encoder an hour"
    return _job(
        "tune-whisper", WHISPER, "records", "once a month on consultations that were corrected by hand",
        work={
            "tokens": AUDIO_HOURS * EPOCHS * POSITIONS_PER_HOUR, "utilization": 0.3, "quality": "assumed",
            "source": f"{source}; 30 % of the peak, assumed",
        },
        gangs=[4, 8, 16, 32], deadline_hours=72, scaling=_doubling(0.95, 8, "95 % a doubling beyond one machine"),
        memory={"activations_gib": 20, "source": EXAMPLE + "eight windows at a time with recomputation"},
        checkpoint=_checkpoint(22, 60, 900),
    )  # fmt: skip


def _reports() -> CatalogRow:
    return _job(
        "pretrain-reports", WRITER, "records", "once a month: a writer of reports learns the month's texts",
        work={
            "tokens": 12e9, "utilization": 0.38, "quality": "assumed",
            "source": "6 N D with 12 billion tokens, an example; 38 % of the peak, the least of 38 to 43 % for Llama 3 on "
            "H100 (Grattafiori et al., 2024, table 4), taken for every card",
        },
        gangs=[8, 16, 32, 64], deadline_hours=120, scaling=_doubling(0.96, 8, "96 % a doubling beyond one machine"),
        precisions=[
            {"precision": "bf16"},
            {
                "precision": "fp8", "speed_ratio": 1.34, "over": "bf16", "quality": "assumed",
                "source": "Fishman et al., arXiv:2409.12517: Llama 2 7B, 34 % more on Gaudi2; assumed to hold elsewhere",
            },
        ],
        layouts=[{"tensor": 1}, {"tensor": 2}, {"tensor": 4}, {"tensor": 8}],
        memory={"shared": "weights", "activations_gib": 40, "source": EXAMPLE + "one sequence of 8192 tokens with recomputation"},
        checkpoint=_checkpoint(112, 120, 1200),
    )  # fmt: skip


def people() -> list[CatalogRow]:
    """Give the engineers that each platform and each provider needs; training pays for them as serving does."""
    part = "a quarter of an engineer for accounts, images, data under medical secrecy and bills of one more provider"
    whole = "half an engineer who knows this platform, beside the one everybody knows"
    family = {"TPU engineers": {"kind": "tpu"}, "AMD engineers": {"family": ["amd-cdna2", "amd-cdna3", "amd-cdna4"]}}
    return [
        *({"name": n, "when": w, "people": 0.5, **ENGINEER, "source": EXAMPLE + whole} for n, w in family.items()),
        *(
            {"name": f"{p} operations", "when": {"provider": p}, "people": 0.25, **ENGINEER, "source": EXAMPLE + part}
            for p in REGIONS
        ),
    ]


def interruptions() -> list[CatalogRow]:
    """Give how often spot instances are taken away: no source of ours has rates."""
    hours = {"aws": 24, "gcp": 12, "nebius": 12}
    return [
        {
            "name": f"{provider} spot", "when": {"provider": provider, "option": "spot"}, "per_hour": round(1 / every, 4),
            "usd_each": 5, "quality": "assumed", "source": f"{EXAMPLE}once in {every} hours; somebody looks after it",
        }
        for provider, every in hours.items()
    ]  # fmt: skip


def limits() -> list[CatalogRow]:
    """Give the quotas; each is an example, as no source states quotas or stock."""
    return [
        limit("lambda", {"provider": "lambda"}, 16, "two instances at a small provider"),
        limit("nebius", {"provider": "nebius", "option": ["on_demand", "reserved"]}, 24, "three instances at a small provider"),
        limit("nebius spot", {"provider": "nebius", "option": "spot"}, 8, "one instance of what others leave"),
        limit("aws spot", {"provider": "aws", "option": "spot"}, 16, "two instances, as new accounts start low"),
        limit("gcp spot", {"provider": "gcp", "option": "spot"}, 16, "two instances"),
        limit("gcp TPU", {"provider": "gcp", "kind": "tpu"}, 64, "a first quota in chips"),
    ]


def question() -> CatalogRow:
    """Give the whole document of science.json."""
    return {
        "schema_version": 1,
        "name": "science",
        "description": "Dictation, scans and hearings by day and night beside four training jobs; numbers explained in README.md",
        "as_of": AS_OF,
        "periods": PERIODS,
        "catalogs": CATALOGS,
        "policy": {"max_price_age_days": 730, "utilization_cap": 0.8},
        "workloads": [*_served(), _organs(), _phrases(), _hearings(), _reports()],
        "limits": limits(),
        "people": people(),
        "interruptions": interruptions(),
    }
