"""Build the catalogs and questions of this folder from the raw tables: `python instances/build.py RAW_DATA_DIR`.

The raw tables are collected copies of the public sources that README.md names. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from building import accelerators, nlp, offers, profiles
from building.models import canonical_names, model_records
from building.tables import read_table, write_csv, write_json

HERE = Path(__file__).resolve().parent


def build(raw: Path, out: Path) -> None:
    """Write every catalog and question into `out`."""
    catalogs = out / "catalogs"
    catalogs.mkdir(parents=True, exist_ok=True)
    names = canonical_names()
    types = accelerators.accelerator_rows(read_table(raw / "hardware.csv"))
    known = {str(row["name"]) for row in types}
    llm = profiles.llm_rows(read_table(raw / "llm_profiles.csv"), names)
    language = profiles.mlperf_rows(read_table(raw / "throughput.csv"), names, known, profiles.LANGUAGE)
    models = model_records(read_table(raw / "model_specs.csv"), read_table(raw / "accuracy.csv"), [*llm, *language])
    write_csv(catalogs / "accelerators.csv", accelerators.HEADER, types)
    write_csv(catalogs / "offers.csv", offers.HEADER, offers.offer_rows(read_table(raw / "offers.csv"), known))
    write_csv(catalogs / "profiles_llm.csv", profiles.HEADER, llm)
    write_csv(catalogs / "profiles_mlperf_language.csv", profiles.HEADER, language)
    write_json(catalogs / "models.json", models)
    write_json(out / "nlp.json", nlp.question(read_table(raw / "request_traces.csv"), read_table(raw / "request_sizes.csv")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="folder with the raw tables (hardware.csv, offers.csv ...)")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: this folder)")
    arguments = parser.parse_args()
    build(arguments.raw, arguments.out)
