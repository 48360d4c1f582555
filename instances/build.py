"""Build the catalogs and questions of this folder from the raw tables: `python instances/build.py RAW_DATA_DIR`.

The raw tables are collected copies of the public sources that README.md names. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from building import (
    accelerators,
    claims,
    company,
    cv,
    dialogue,
    helpline,
    making,
    mlperf,
    nlp,
    offers,
    profiles,
    recommendation,
    regions,
    science,
    timm,
    tutor,
)
from building.mlperf_models import mlperf_models, mlperf_names
from building.models import canonical_names, model_records
from building.tables import CatalogRow, RawRow, read_table, write_csv, write_json

HERE = Path(__file__).resolve().parent
DOMAINS = {"vision": mlperf.VISION, "recommendation": mlperf.RECOMMENDATION, "speech": mlperf.SPEECH}


def build(raw: Path, out: Path) -> None:
    """Write every catalog and question into `out`."""
    catalogs = out / "catalogs"
    catalogs.mkdir(parents=True, exist_ok=True)
    types = accelerators.accelerator_rows(read_table(raw / "hardware.csv"))
    known = {str(row["name"]) for row in types}
    results, accuracy = read_table(raw / "throughput.csv"), read_table(raw / "accuracy.csv")
    write_csv(catalogs / "accelerators.csv", accelerators.HEADER, types)
    for_rent = offers.offer_rows(read_table(raw / "offers.csv"), known)
    write_csv(catalogs / "offers.csv", offers.header(), for_rent)
    write_csv(out / dialogue.OFFERS, offers.header(3), dialogue.offers(for_rent))
    write_csv(out / tutor.OFFERS, tutor.header(), tutor.offers(for_rent))
    write_csv(catalogs / "regions.csv", regions.HEADER, regions.region_rows(read_table(raw / "energy.csv")))
    _language(raw, catalogs, results, accuracy, known)
    _other_domains(catalogs, results, accuracy, known)
    _timm(read_table(raw / "cv_variant_profiles.csv"), catalogs)
    traces, sizes = read_table(raw / "request_traces.csv"), read_table(raw / "request_sizes.csv")
    write_json(out / "nlp.json", nlp.question(traces, sizes))
    write_json(out / "cv.json", cv.question())
    write_json(out / "recommendation.json", recommendation.question())
    write_json(out / "science.json", science.question())
    write_json(out / "dialogue.json", dialogue.question(traces, sizes))
    write_json(out / "tutor.json", tutor.question())
    write_json(out / "claims.json", claims.question())
    write_json(out / "helpline.json", helpline.question())
    write_json(out / "company.json", company.question(traces, sizes))


def _language(raw: Path, catalogs: Path, results: list[RawRow], accuracy: list[RawRow], known: set[str]) -> None:
    """Write the language models and their points: LLM serving, held rates, Offline rates."""
    names = canonical_names()
    llm = profiles.llm_rows(read_table(raw / "llm_profiles.csv"), names)
    held = mlperf.mlperf_rows(results, names, known, mlperf.LANGUAGE, mlperf.HELD)
    offline = mlperf.mlperf_rows(results, names, known, mlperf.LANGUAGE, mlperf.OFFLINE)
    _write_profiles(catalogs / "profiles_llm.csv", llm)
    _write_profiles(catalogs / "profiles_mlperf_language.csv", held)
    _write_profiles(catalogs / "profiles_mlperf_language_offline.csv", offline)
    models = model_records(read_table(raw / "model_specs.csv"), accuracy, [*llm, *held, *offline])
    write_json(catalogs / "models.json", models)


def _other_domains(catalogs: Path, results: list[RawRow], accuracy: list[RawRow], known: set[str]) -> None:
    """Write models and points of vision, recommendation and speech: held rates and Offline rates in one table each."""
    for domain, benchmarks in DOMAINS.items():
        rows = mlperf.mlperf_rows(results, mlperf_names(), known, benchmarks, mlperf.HELD | mlperf.OFFLINE)
        _write_profiles(catalogs / f"profiles_mlperf_{domain}.csv", rows)
        models = mlperf_models(domain, accuracy, results, rows)
        write_json(catalogs / f"models_{domain}.json", making.with_second_form(models) if domain == "recommendation" else models)


def _timm(measured: list[RawRow], catalogs: Path) -> None:
    """Write the families of image models and their points."""
    _write_profiles(catalogs / "profiles_timm.csv", timm.timm_rows(measured))
    write_json(catalogs / "models_timm.json", making.with_tuning(timm.timm_models(measured)))


def _write_profiles(path: Path, rows: Iterable[CatalogRow]) -> None:
    rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
    write_csv(path, profiles.header_of(rows), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="folder with the raw tables (hardware.csv, offers.csv ...)")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: this folder)")
    arguments = parser.parse_args()
    build(arguments.raw, arguments.out)
