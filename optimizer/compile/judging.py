"""Which configurations a workload may run on: accurate enough, and rentable. Judged for all forms of a model at once.

Forms are shared between workloads, and so are verdicts: by floor, and by which offers are allowed. What refuses a form is counted
here and put into words only where somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.compile.offers import OfferTable
from optimizer.instance import AccuracyFloor, Aggregation, Instance
from optimizer.performance import Configuration, OptionTable
from optimizer.performance.modelled import weights_gib

__all__ = ["Judge", "Verdict", "accuracy_judged", "kept_accuracy"]

IntArray = npt.NDArray[np.int64]
CODES = ("", "accuracy_unknown", "accuracy_below_floor", "weights_unknown")


@dataclass(frozen=True, eq=False)
class Verdict:
    """The rows of an option table that a workload may run on, in canonical order, and how many were refused, by code.

    ``place`` says where in the judge's ``forms`` each is, shape (n_rows,); ``accuracy`` what each keeps under each floor, shape
    (n_rows, n_floors).
    """

    rows: IntArray
    place: IntArray
    accuracy: npt.NDArray[np.float64]
    refused: Counter[str]


@dataclass(eq=False)
class Judge:
    """Judges option tables and remembers what forms have in common. ``forms`` are all that were seen, one after another."""

    instance: Instance
    offers: OfferTable
    forms: list[Configuration] = field(default_factory=list)
    _known: dict[Hashable, Any] = field(default_factory=dict)

    def verdict(self, table: OptionTable, floors: Sequence[AccuracyFloor | None], allowed: npt.NDArray[np.bool_]) -> Verdict:
        """Judge what performance lets through, under the floor of each member; ``allowed`` says which offers may be used."""
        forms = table.forms
        first, order, _ = self._once(("order", id(forms)), lambda: self._placed(forms))
        judged = [self._once((id(forms), floor), partial(self._accuracies, forms, floor)) for floor in floors]
        accuracy = np.stack([accuracy for accuracy, _ in judged], axis=1)
        refusal = np.max([why for _, why in judged], axis=0)
        rentable = self._once((id(forms), allowed.tobytes()), lambda: self._rentable(forms, allowed))[table.form]
        why = refusal[table.form]
        kept = np.flatnonzero((why == 0) & rentable)
        kept = kept[np.argsort(order[table.form[kept]])]
        refused = Counter({str(code): count for code, count in table.refused.items()})
        refused.update(dict(zip(CODES[1:], np.bincount(why, minlength=len(CODES))[1:].tolist(), strict=True)))
        refused["no_offer"] = int((~rentable & (why == 0)).sum())
        return Verdict(kept, first + table.form[kept], accuracy[table.form[kept]], +refused)

    def _once(self, key: Hashable, work_out: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = work_out()
        return self._known[key]

    def _placed(self, forms: tuple[Configuration, ...]) -> tuple[int, IntArray, tuple[Configuration, ...]]:
        """Give where among all forms these begin and the rank of each in canonical order; holding them keeps their id theirs."""
        self.forms.extend(forms)
        what = [(c.accelerator, c.accelerators_per_replica, c.precision, c.compression) for c in forms]
        alike = Counter(what)  # a label takes long to make: only those that need one to be told apart get it
        keys = [(*told, c.label if alike[told] > 1 else "") for told, c in zip(what, forms, strict=True)]
        order = np.argsort(np.array(sorted(range(len(forms)), key=keys.__getitem__), dtype=np.int64))
        return len(self.forms) - len(forms), order, forms

    def _accuracies(
        self, forms: tuple[Configuration, ...], floor: AccuracyFloor | None
    ) -> tuple[npt.NDArray[np.float64], IntArray]:
        """Give what each form keeps, and why that is refused or 0; one verdict a variant."""
        one_each, which = self._once(("variants", id(forms)), lambda: _variants(forms))
        found = [self._variant_judged(floor, c) for c in one_each]
        why = [0 if refusal is None else CODES.index(refusal[0]) for _, refusal in found]
        return np.array([accuracy for accuracy, _ in found])[which], np.array(why, dtype=np.int64)[which]

    def _variant_judged(self, floor: AccuracyFloor | None, c: Configuration) -> tuple[float, tuple[str, str] | None]:
        """Give the accuracy a variant keeps, and why it cannot serve where it is not accurate or its priced size not known."""
        accuracy, why = accuracy_judged(self.instance, floor, c)
        model = self.instance.models[c.model]
        if why is None and self.instance.storage and not weights_gib(model, model.variant(*c.variant), c.precision) > 0:
            why = "weights_unknown", "storage is priced, but neither its weights_gib nor its parameters are known"
        return accuracy, why

    def _rentable(self, forms: tuple[Configuration, ...], allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Say which forms fill whole parts of some allowed instance."""
        found = {key: self._holds(*key, allowed) for key in {(c.accelerator, c.accelerators_per_replica) for c in forms}}
        return np.array([found[c.accelerator, c.accelerators_per_replica] for c in forms], dtype=bool)

    def _holds(self, accelerator: str, count: int, allowed: npt.NDArray[np.bool_]) -> bool:
        return any(size % count == 0 for size in self._sizes(self.instance.accelerators[accelerator].name, allowed))

    def _sizes(self, name: str, allowed: npt.NDArray[np.bool_]) -> set[int]:
        """Give the sizes of an accelerator's instances among the allowed offers."""
        offers = self.offers

        def by_name() -> dict[str, set[int]]:
            found: dict[str, set[int]] = {accelerator: set() for accelerator in offers.accelerators}
            for accelerator, size in zip(offers.accelerator[allowed].tolist(), offers.size[allowed].tolist(), strict=True):
                found[offers.accelerators[accelerator]].add(size)
            return found

        sizes: dict[str, set[int]] = self._once(("sizes", allowed.tobytes()), by_name)
        return sizes.get(name, set())

    def refusals(
        self, table: OptionTable, floors: Sequence[AccuracyFloor | None], allowed: npt.NDArray[np.bool_]
    ) -> list[tuple[Configuration, str, str]]:
        """Word why each form is refused: the form, a code and the text with the number that decided."""
        found = [(c, str(r.code), r.message) for c, r in table.rejected]
        for c in table.configurations:
            whys = [why for floor in floors if (why := self._variant_judged(floor, c)[1]) is not None]
            why = max(whys, key=lambda told: CODES.index(told[0]), default=None)
            name, count = self.instance.accelerators[c.accelerator].name, c.accelerators_per_replica
            if why is None and not self._holds(name, count, allowed):
                why = _no_offer(self.offers, name, count, self._sizes(name, allowed))
            if why is not None:
                found.append((c, *why))
        return found


def _variants(forms: Sequence[Configuration]) -> tuple[list[Configuration], IntArray]:
    """Give a form of each variant, and the place of each form's variant among them."""
    place: dict[tuple[str, str], int] = {}
    which = np.array([place.setdefault(c.variant, len(place)) for c in forms], dtype=np.int64)
    first = np.unique(which, return_index=True)[1]
    return [forms[at] for at in first.tolist()], which


def kept_accuracy(instance: Instance, configuration: Configuration, floor: AccuracyFloor) -> float | None:
    """Give the share of the baseline a variant keeps on the floor's metric, at most 1; None where no row says."""
    variant = instance.models[configuration.model].variant(configuration.precision, configuration.compression)
    if variant is None:
        return None
    if variant.is_baseline:
        return 1.0
    wanted = (floor.metric, floor.evaluation)
    kept = [a.kept_fraction for a in variant.accuracy if (a.metric, a.evaluation) == wanted]
    return min(kept, default=None)


def accuracy_judged(
    instance: Instance, floor: AccuracyFloor | None, configuration: Configuration
) -> tuple[float, tuple[str, str] | None]:
    """Give the accuracy a variant keeps under a floor, and why it cannot serve where it cannot."""
    if floor is None:
        return 1.0, None
    accuracy = kept_accuracy(instance, configuration, floor)
    if accuracy is None:
        return 0.0, ("accuracy_unknown", f"no row of {floor.metric} on {floor.evaluation} for this variant")
    wanted = floor.floor_fraction_of_baseline
    if floor.aggregation is Aggregation.PER_REQUEST and Fraction(repr(accuracy)) < Fraction(repr(wanted)):
        return accuracy, (
            "accuracy_below_floor",
            f"keeps {accuracy:.4f} of the baseline's {floor.metric}, the floor is {wanted:.4f}",
        )
    return accuracy, None


def _no_offer(offers: OfferTable, name: str, size: int, sizes: set[int]) -> tuple[str, str]:
    if sizes:
        return "no_offer", f"no allowed instance of {name} holds whole groups of {size}; there are {sorted(sizes)}"
    if name in offers.accelerators:
        why = "regions, options, limits of zero, limits on power or carbon where it is unknown"
        return "no_offer", f"{name} is offered, but nowhere this workload may use ({why})"
    left_out = [f"{label}: {reason}" for accelerator, label, reason in offers.left_out if accelerator == name]
    return "no_offer", f"no priced offer of {name}" + (f" ({left_out[0]})" if left_out else "")
