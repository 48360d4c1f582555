"""The shipped catalogs, and a way to build catalogs from a few raw rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from optimizer.instance import Catalogs
from optimizer.read import load_catalogs
from tests.instances.small import INSTANCES, RawRows, build, write_raw


@pytest.fixture(scope="module")
def catalogs() -> Catalogs:
    return load_catalogs(INSTANCES / "catalogs")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RawRows], Catalogs]:
    """Give catalogs built from raw rows."""

    def catalogs_of(rows: RawRows) -> Catalogs:
        folder = tmp_path_factory.mktemp("small")
        return load_catalogs(build(write_raw(folder / "raw", rows), folder / "built") / "catalogs")

    return catalogs_of
