"""The command line as a program: ``python -m tests.optimizer.nightly.program ARGUMENTS``; tests kill it.

The clock stands where the tests' feeds are, for what the job takes as now.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime

from optimizer.cli import main
from optimizer.nightly import job
from tests.optimizer.nightly.nights import NOW


class _Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        moment = os.environ.get("ALLOCATE_TEST_NOW")
        return datetime.fromisoformat(moment) if moment else NOW


if __name__ == "__main__":
    job.datetime = _Clock
    main(sys.argv[1:])
