"""Models and their variants: the (precision, compression) forms in which a network can be served.

Weights GiB; accuracies in the unit of their metric, compared only with the baseline of the same evaluation.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from optimizer.catalog.record import Name, NonNegative, Positive, PositiveInt, Quality, Record, Text

__all__ = ["Accuracy", "Model", "Setup", "Speedup", "Variant"]

AccuracyValue = Field(ge=-1e6, le=1e6)


class Accuracy(Record):
    """One measured score of a variant and the score it is compared with, on one metric of one evaluation."""

    metric: Name
    evaluation: Name
    value: float = AccuracyValue
    baseline_value: float = AccuracyValue
    higher_is_better: bool = True
    quality: Quality = Quality.MEASURED
    source: Text

    @property
    def kept_fraction(self) -> float:
        """Give the share of the baseline that is kept, at most 1.0 (a variant is never credited above its baseline).

        >>> round(Accuracy(metric="f1", evaluation="squad", value=90.3, baseline_value=90.9, source="").kept_fraction, 4)
        0.9934
        """
        kept = self.value / self.baseline_value if self.higher_is_better else self.baseline_value / self.value
        return min(kept, 1.0)

    @model_validator(mode="after")
    def _ratio_exists(self) -> Accuracy:
        if self.baseline_value <= 0 or self.value < 0 or (self.value == 0 and not self.higher_is_better):
            raise ValueError("scores must be positive for a ratio to mean anything")
        return self


class Speedup(Record):
    """A cited speed-up of a variant over another form of the same model; without a source there is none."""

    factor: Positive
    over_precision: Name
    over_compression: Name = "none"
    quality: Quality = Quality.ASSUMED
    source: Text = Field(min_length=1)


class Setup(Record):
    """What making a variant once takes; the policy says what a unit costs and over how many months it is paid off."""

    accelerator_hours: NonNegative = 0.0
    labelling_hours: NonNegative = 0.0
    items: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Variant(Record):
    """One (precision, compression) form of a model.

    ``compression`` names the method and its degree (``none``, ``2:4``, ``pruned-65%``, ``distilled`` ...).
    ``is_baseline`` marks the form that recoveries are compared with: its accuracy counts as 1.0 on every metric.
    ``setup`` is paid once for all workloads that use the variant, ``maintenance_usd_per_month`` for as long as one does.
    ``size_fraction`` is the share of the base model's parameters that remain, for memory and arithmetic.
    """

    precision: Name
    compression: Name = "none"
    is_baseline: bool = False
    weights_gib: Positive | None = None
    size_fraction: Positive = 1.0
    accuracy: tuple[Accuracy, ...] = ()
    speedup: Speedup | None = None
    setup: Setup | None = None
    maintenance_usd_per_month: NonNegative = 0.0
    note: Text = ""

    @property
    def label(self) -> str:
        """Give ``precision`` or ``precision+compression``."""
        return self.precision if self.compression == "none" else f"{self.precision}+{self.compression}"


class Model(Record):
    """A network and its forms. Counts in billions (1e9); a missing figure is missing.

    ``architecture`` says which arithmetic a request costs: ``decoder`` generates tokens one by one, ``encoder`` reads once.
    """

    name: Name
    aliases: tuple[Name, ...] = ()
    architecture: Name = "decoder"
    parameters_b: Positive | None = None
    active_parameters_b: Positive | None = None
    layers: PositiveInt | None = None
    hidden: PositiveInt | None = None
    intermediate: PositiveInt | None = None
    heads: PositiveInt | None = None
    kv_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    experts: PositiveInt | None = None
    experts_per_token: PositiveInt | None = None
    vocabulary: PositiveInt | None = None
    context_tokens: PositiveInt | None = None
    kv_cache_bytes_per_token_bf16: Positive | None = None
    quality: Quality = Quality.MEASURED
    source: Text
    variants: tuple[Variant, ...] = ()

    def variant(self, precision: str, compression: str = "none") -> Variant | None:
        """Give the variant of these two fields, or None."""
        return next((v for v in self.variants if (v.precision, v.compression) == (precision, compression)), None)
