"""What a plan's deployment runs, as a configuration whose figures can be looked up."""

from __future__ import annotations

from optimizer.catalog import Layout
from optimizer.performance.profiles import Configuration
from optimizer.plan import Deployment

__all__ = ["deployed"]


def deployed(d: Deployment) -> Configuration:
    """Give the configuration that a deployment names."""
    return Configuration(
        model=d.model,
        precision=d.precision,
        compression=d.compression,
        accelerator=d.accelerator,
        accelerators_per_replica=d.accelerators_per_replica,
        engine=d.engine,
        engine_version=d.engine_version,
        layout=Layout(tensor=d.tensor, pipeline=d.pipeline, attention_data=d.attention_data, expert=d.expert),
        availability=d.availability,
        pattern=d.pattern,
        slots=d.slots,
    )
