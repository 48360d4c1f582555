"""Sifting: shards of a large question propose the few candidates that matter; at the prices of these, shards prove the bound.

What is proposed makes a small question, solved as any other in blocks but for exact pricing: that is done on whole shards, so
that the bound holds for the whole question. What shards find that the small question lacks is added to it. METHOD.md tells why
that is sound.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.compile import Compiled, compile_table, names_of
from optimizer.compile.portions import Portion, joined_table
from optimizer.errors import InfeasibleError, InterruptedByUserError
from optimizer.instance import Instance
from optimizer.plan import Plan
from optimizer.solve.blocks import FloatArray, IntArray, average_rows, blocks_of, seeds_of
from optimizer.solve.crew import Crew, Given
from optimizer.solve.direct import Cancel, Wishes, start_from
from optimizer.solve.improve import LARGEST_WHOLE, improve, plan_mixed, plan_whole, start_whole
from optimizer.solve.learned import Learned, Names, learned_of
from optimizer.solve.master import clipped, combined_bound, sides, slack_prices
from optimizer.solve.plans import Ragged
from optimizer.solve.pricing import best_plans
from optimizer.solve.search import Clock, Search, costless, new_search
from optimizer.solve.settle import settle
from optimizer.solve.shards import Base, Desk, Prices, Proof, Proposal, Shard, cut, further, sample, scaled
from optimizer.solve.small import NotSiftedError, Small, begin_at, carry, know, topped, tops_of
from optimizer.solve.unchanged import resumed, with_groups
from optimizer.solve.workers import processes_for
from solvers import Progress, Solution, get_backend

__all__ = ["is_sifted", "sifted"]

logger = logging.getLogger(__name__)

FEWEST_CELLS, CELLS_EACH = 150, 125
"""Workloads times periods from which a question is cut into shards, and of how many each."""
START_SHARE = 0.2
"""Share of the time that the first prices may take."""
REFUTED_SHARE = 0.05
"""Share of the time that either kind of pricing may take of whether there can be any plan."""
GROUPED, MANY_SHARE = 16, 0.3
"""Of twice as many shards or more, so many propose first; the others do at the prices that these come to. And the share of the
asked gap to which their prices settle, roughly alone."""
NEAR = 0.5
"""Of what a block's plan costs above the least that it can, what others may that are proposed: a proof adds what it needs."""
PROPOSED, PATIENCE = 3, 3
"""How often shards propose more at most, and in how many rounds rows may be broken before."""
PLANLESS, MOST_CELLS = 2, 2_000
"""Proofs without a plan after which a question of no more workloads times periods is compiled whole; a larger one never is."""
TURNS, WORTH = 8, 0.5
"""The most times that shards are asked to prove prices; of the longest proof's time, what must be left for another to begin."""
IMPROVED_SHARE, IMPROVED_USED = 0.15, 0.3
"""Share of the time that neighbourhoods may take between two proofs, and the same of the time used until then."""
AGAIN, STUCK = 1.3, 0.5
"""Times what is missing to the asked gap: where bounds of blocks lost as much, they are worked out further at these prices.
And what must have come of that, of what is missing still, for it to be done again."""
FIRST_LOSS, FIRST_SHARE = 0.006, 0.5
"""Relative; what bounds of blocks may lose in the first proof, whose prices are those of heuristic plans: it is after plans.
Where a larger gap is asked, this share of that: then it may be the last."""
BESIDE = 0.85
"""Of what bounds of blocks may lose, the share that shards are allowed; the rest is for the master."""
REFUTED = 1e-5
"""Share of what rows allow, at prices alone, by which blocks must exceed it for no plan to be: ten times what rows may be off."""


def is_sifted(instance: Instance, wishes: Wishes, plan_in_force: Plan | None) -> bool:
    """Say whether a question is looked at in shards: it is large, and no row counts changes of everything together."""
    served = sum(w.kind != "training" for w in instance.workloads)
    changes = plan_in_force is not None and instance.policy.change is not None
    return wishes.method != "direct" and served * len(instance.periods) >= FEWEST_CELLS and not changes


@dataclass(frozen=True, eq=False)
class _Stage:
    """How far a solve is: the small question, its portions, prices of slack, what shards proved last, and the bound of that.

    ``broken`` is how many rows the plans of blocks, mixed, broke when prices settled last.
    """

    small: Small
    portions: list[Portion]
    slack: FloatArray
    proofs: Sequence[Proof] = ()
    bound: float = -np.inf
    broken: int = 0

    @property
    def search(self) -> Search:
        """Give the small question's search."""
        return self.small.search

    @property
    def loss(self) -> float:
        """Give what the bounds of blocks proved last may be missing."""
        return sum(proof.loss for proof in self.proofs)


@dataclass(eq=False)
class Sifter:
    """One sifted solve; ``certified`` is what the best bound rests on, if bounds are kept; ``proof_s`` what a proof took."""

    instance: Instance
    wishes: Wishes
    crew: Crew
    shards: tuple[Shard, ...]
    clock: Clock
    on_progress: Callable[[Progress], None] | None
    plan_in_force: Plan | None
    learned: Learned | None
    certified: Learned | None = None
    started_from: int = 0
    recalled: int = 0
    recalled_of: int = 0
    proof_s: float = 0.0
    owned: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    tops: Mapping[int, float] = field(default_factory=dict)
    loosened: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def may_be_whole(self) -> bool:
        """Say whether the whole question is small enough to be compiled."""
        return len(self.shards) * CELLS_EACH <= MOST_CELLS

    @property
    def near(self) -> float:
        """Give how near candidates are that shards propose.

        All where rows stay broken without, as of very many shards in one period, or plans are learned, which leave few near.
        """
        many = len(self.shards) >= 2 * GROUPED and len(self.instance.periods) == 1
        return NEAR if self.learned is None and not many else 1.0

    def proposals(self) -> tuple[list[Proposal], Prices]:
        """Have every shard propose candidates and plans, at prices learned or at which the first can do with its part."""
        nothing, learned = np.zeros(0, dtype=np.int64), self.learned
        if learned is not None and len(learned.row):
            prices = Prices(learned.row, learned.price, nothing)
        else:
            first, busy = sample(self.shards), self.crew.processes
            others = [shard for shard in self.shards[:busy] if shard.number % busy]  # the first is looked at here
            tasks: list[Given] = [
                (Desk.start, first, (START_SHARE * self.clock.limit_s,)),
                *((Desk.prepare, s, ()) for s in others),
            ]
            started = self.crew.ask_each(tasks)
            self._refuse_cancelled()
            prices = started[0] or Prices(nothing, np.zeros(0), nothing)
        some = self.shards[:GROUPED] if len(self.shards) >= 2 * GROUPED else ()
        found = self._asked(some, prices, self.near)
        if found and all(p.refused is None for p in found):
            prices = self._settled_among(some, found, prices)
        chosen = {shard.number for shard in some}
        found += self._asked([shard for shard in self.shards if shard.number not in chosen], prices, self.near)
        return self._accepted(found), prices

    def proposed(self, prices: Prices) -> list[Proposal]:
        """Have every shard propose plans at prices, with the candidates that these need.

        Raises
        ------
        InfeasibleError : workloads have no candidate left; all are named
        InterruptedByUserError : cancelled meanwhile
        """
        return self._accepted(self._asked(self.shards, prices, 0.0))

    def _asked(self, shards: Sequence[Shard], prices: Prices, near: float) -> list[Proposal]:
        found = self.crew.ask(Desk.propose, [(shard, (prices, near)) for shard in shards])
        self._refuse_cancelled()
        self.loosened = np.union1d(self.loosened, np.concatenate([self.loosened, *(p.loosened for p in found)]))
        return found

    def _accepted(self, found: list[Proposal]) -> list[Proposal]:
        """Give proposals in order of their shards, if none has a workload without candidates."""
        refused = [p.refused for p in found if p.refused is not None]
        if refused:
            message = "; ".join(text.removeprefix("no plan: ") for text, _ in refused)
            raise InfeasibleError(f"no plan: {message}", [problem for _, problems in refused for problem in problems])
        logger.info("%6.1f s %d shards proposed", self.clock.used_s, len(found))
        return sorted(found, key=lambda p: p.number)

    def _settled_among(self, shards: Sequence[Shard], found: Sequence[Proposal], prices: Prices) -> Prices:
        """Give the prices at which a group of shards could do with its part of what is shared: better ones for all the others."""
        workloads = tuple(w for shard in shards for w in shard.workloads)
        instance = self.instance.of((*workloads, *self.instance.jobs), tuple(p for shard in shards for p in shard.pools))
        small = self.small([p.portion for p in found if p.portion is not None], None, instance)
        know(small, [p.told for p in found])
        begin_at(small, prices)
        part = scaled(small.search, len(shards) / len(self.shards))
        until_s, slack = START_SHARE * self.clock.limit_s + self.clock.used_s, slack_prices(part.blocks)
        for kind in ("rough", "deep"):
            slack = settle(part, slack, kind, until_s, patience=PATIENCE).slack
        self.clock.calls, self.clock.solver_s = part.clock.calls, part.clock.solver_s
        logger.info("%6.1f s %d shards settled", self.clock.used_s, len(shards))
        return Prices(small.names.row, part.duals, small.names.column[part.blocks.shared])

    def _refuse_cancelled(self) -> None:
        if self.clock.cancel is not None and self.clock.cancel.is_set():
            raise InterruptedByUserError("interrupted before any plan was found")

    def small(self, portions: Sequence[Portion], before: Small | None, part: Instance | None = None) -> Small:
        """Make the question of portions, and a search that knows what the one before knew; ``part`` is what they are all of."""
        table = joined_table(part or self.instance, portions, self.crew.known)
        compiled = compile_table(table, self.plan_in_force if part is None else None, dominance=False, partly=True)
        seeds, averages = seeds_of(compiled, partly=True), average_rows(compiled.model)
        named = names_of(compiled.row_label(r) for r in averages.tolist())
        blocks = blocks_of(compiled.model, seeds, averages[np.isin(named, self.loosened)])
        backend = get_backend(self.wishes.backend)
        search = new_search(compiled.model, blocks, backend, self.wishes, self.on_progress, self.clock.cancel)
        search.clock, names = self.clock, Names.of(compiled, blocks)
        numbers = {w.name: shard.number for shard in self.shards for w in shard.workloads}
        numbers |= {p.name: shard.number for shard in self.shards for p in shard.pools}
        owners = np.array([numbers[o.name] for o in compiled.candidates.owners], dtype=np.int64)
        first = np.minimum(blocks.first(seeds.workload, len(owners)), len(owners))
        made = Small(compiled, search, names, np.append(owners, 0)[first], first)
        if before is not None:
            carry(before, made)
        elif part is None and self.plan_in_force is not None:
            search.start_at(start_from(compiled, self.plan_in_force))
        logger.info("%6.1f s small question: %d columns, %d blocks", self.clock.used_s, blocks.model.n_columns, blocks.count)
        return made

    def proofs(self, small: Small, effort: str, before: _Stage | None) -> list[Proof]:
        """Have every shard prove what its plans cost at least at the search's prices, with an effort as of ``price_exactly``.

        ``before`` tells what they proved at these prices before, if they did; shards that need not lose less are not asked again.
        """
        search, blocks = small.search, small.search.blocks
        duals = clipped(blocks, search.duals)
        prices = Prices(small.names.row, duals, small.names.column[blocks.shared], small.is_costless)
        best, number = best_plans(search, duals)
        wanted = search.cost - self.wishes.relative_gap * abs(search.cost)
        if before is not None:
            allowed = further([proof.loss for proof in before.proofs], before.loss + before.bound - wanted)
        else:
            spare = float(best.sum()) + combined_bound(blocks, duals, np.zeros(blocks.count)) - wanted
            spare = spare if np.isfinite(spare) else 0.0
            size = np.bincount(small.shard_of, weights=np.where(np.isfinite(best), np.abs(best), 0.0), minlength=len(self.shards))
            share = FIRST_SHARE * self.wishes.relative_gap if self.wishes.relative_gap > FIRST_LOSS else FIRST_LOSS
            least = share * size.sum() if effort == "brief" else 0.0
            allowed = max(BESIDE * spare, least) * size / max(size.sum(), 1e-9)  # blocks may cost nothing at all
        until, asked, known = time.monotonic() + self.clock.left_s, [], enumerate(() if before is None else before.proofs)
        earlier = {n: replace(proof, calls=0, solver_s=0.0) for n, proof in known}
        same = {n: proof for n, proof in earlier.items() if proof.loss <= allowed[n]}
        for shard in self.shards:
            if shard.number in same:
                continue
            mine = np.flatnonzero((small.shard_of == shard.number) & (number >= 0))
            content = search.plans.content.chosen(number[mine])
            plans = Ragged(content.start, small.names.column[content.index], content.value)
            best_known = Learned(plans, np.zeros(0, dtype=np.int64), np.zeros(0))
            more = float(allowed[shard.number]), until, effort, shard.number == 0, not np.isfinite(search.bound)
            asked.append((shard, (prices, best_known, *more)))
        found = zip(asked, self.crew.ask(Desk.prove, asked), strict=False)
        proofs = earlier | {shard.number: proof for (shard, _), proof in found if proof is not None}
        return [proofs[shard.number] for shard in self.shards if shard.number in proofs]

    def proved(self, small: Small, proofs: Sequence[Proof]) -> float:
        """Believe and give the bound that all proofs make together."""
        search, blocks, bound = small.search, small.search.blocks, -np.inf
        for proof in proofs:
            self.clock.calls += proof.calls
            self.clock.solver_s += proof.solver_s
        if any(proof.infeasible for proof in proofs):
            search.infeasible = True
        elif len(proofs) == len(self.shards):
            least = np.concatenate([proof.least for proof in proofs])
            before, bound = search.bound, combined_bound(blocks, search.duals, least, topped(small, self.tops))
            search.prove(bound)
            self.recalled = max(self.recalled, sum(proof.recalled for proof in proofs))
            if search.bound > before and len(marks := np.concatenate([proof.mark for proof in proofs])):
                bounds = np.concatenate([proof.least[:-1] for proof in proofs])
                prices, shared = (small.names.row, clipped(blocks, search.duals)), small.names.column[blocks.shared]
                self.certified = Learned(Ragged.empty(), *prices, marks, bounds, shared=shared)
                self.owned = {name: least for proof in proofs for name, least in (proof.owned or {}).items()}
            told = self.clock.used_s, search.bound, search.cost, search.gap, sum(proof.loss for proof in proofs)
            logger.info("%6.1f s shards proved %.6g, cost %.6g, gap %s, loss %.3g", *told)
        return bound


def sifted(
    instance: Instance,
    wishes: Wishes,
    compared: Callable[[Compiled], IntArray],
    *,
    load_shares: Mapping[str, float] | None = None,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
    learned: Learned | None = None,
    on_learned: Callable[[Learned], object] | None = None,
) -> tuple[Compiled, Solution, str]:
    """Solve a question in shards; give the small question that holds the plan, the solution in its columns, and how in words.

    Raises
    ------
    InfeasibleError : workloads have no candidate left
    InterruptedByUserError : cancelled before there was anything to solve
    NotSiftedError : shards find no plan, or one is not the same in its shard and in the small question
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    shards, clock = cut(instance, CELLS_EACH), Clock(wishes.time_limit_s, cancel)
    base = Base(
        instance.of(instance.jobs), wishes, compared, dict(load_shares or {}), learned, plan_in_force, on_learned is not None
    )
    with Crew(base, processes_for(len(shards) * CELLS_EACH), cancel) as crew:
        sifter = Sifter(instance, wishes, crew, shards, clock, on_progress, plan_in_force, learned)
        stage = _resumed(sifter) or _solved(sifter)
    small, search = stage.small, stage.search
    if on_learned is not None:
        known, proved = learned_of(search, small.names), sifter.certified
        if proved is not None and sifter.owned:
            proved = with_groups(proved, instance, base.load_shares, sifter.owned, stage.portions, small.offers, sifter.tops)
        on_learned(known if proved is None else replace(proved, plans=known.plans))
    if search.values is None and not search.infeasible and clock.stopped is None and sifter.may_be_whole:
        raise NotSiftedError("shards found no plan of the whole")
    solution = search.solution()
    if sifter.recalled and solution.bound_source:
        told = f"{solution.bound_source}; {sifter.recalled} bounds as an earlier solve proved them of the same blocks and prices"
        solution = replace(solution, bound_source=told)
    count, rows = search.blocks.count, len(search.blocks.coupling)
    told = f"decompose: {count} blocks joined by {rows} rows, in {len(shards)} shards, {solution.message}"
    if learned is not None:
        told += f", from {sifter.started_from} of {len(learned.plans.start) - 1} plans"
        told += f" and {sifter.recalled} of {sifter.recalled_of or len(learned.mark)} bounds" if len(learned.mark) else ""
    return small.compiled, solution, told


def _resumed(sifter: Sifter) -> _Stage | None:
    """Have only what changed since an earlier solve looked at, where that is little; None where it does not come to the gap."""
    if sifter.learned is None or not len(sifter.learned.group):
        return None
    sifter.loosened, found = sifter.learned.row, None  # those about an average that are priced
    with suppress(NotSiftedError):
        found = resumed(sifter.crew.desk, sifter.instance, lambda portions: sifter.small(portions, None))
    if found is None or not found.small.search.done:
        return None
    sifter.certified, sifter.started_from, (sifter.recalled, sifter.recalled_of) = found.found, found.started_from, found.known
    return _Stage(found.small, found.portions, slack_prices(found.small.search.blocks))


def _begun(sifter: Sifter) -> _Stage:
    """Make the small question of what shards propose."""
    proposals, prices = sifter.proposals()
    sifter.started_from = sum(p.recalled for p in proposals)
    portions = [p.portion for p in proposals if p.portion is not None]
    if not any(len(portion.pair) for portion in portions):
        raise NotSiftedError("shards have no plan of any workload")
    small = sifter.small(portions, None)
    know(small, [proposal.told for proposal in proposals])
    begin_at(small, prices)
    sifter.tops = tops_of(small, ((p.column, p.upper) for p in proposals))
    return _Stage(small, portions, slack_prices(small.search.blocks))


def _solved(sifter: Sifter) -> _Stage:
    """Settle, plan, prove, and add what the proofs found, until the gap asked is proved or time is up.

    Where nothing was learned about the question, the first proof is brief; where bounds were, prices are proved before they move.
    No small question but the stage's is held: a large one takes a gigabyte.
    """
    clock, limit_s, learned = sifter.clock, sifter.clock.limit_s, sifter.learned
    stage, effort, again, proved = _begun(sifter), "", False, -np.inf
    kinds: tuple[str, ...] = ("deep",)
    if learned is not None and len(learned.mark):
        start_whole(stage.search)
        stage = _proved(sifter, stage, "usual", None)
    if not stage.search.done:
        stage, kinds = _settled(sifter, stage)
        stage = _refuted(sifter, stage)
    for turn in range(TURNS):
        if stage.search.done:
            return stage
        missing = stage.search.cost - stage.bound - sifter.wishes.relative_gap * abs(stage.search.cost)
        stuck = again and stage.bound - proved < STUCK * missing
        again, proved = effort != "" and not stuck and stage.loss > AGAIN * missing, stage.bound  # solved further, prices may do
        if not again:
            stage = _refuted(sifter, _priced_and_planned(sifter, stage, kinds))
            if stage.search.done:
                return stage
        if clock.left_s < WORTH * sifter.proof_s:
            break  # it would be dropped; plans may still get better
        effort = "brief" if learned is None and turn == 0 else "further" if again and effort != "brief" else "usual"
        stage = _proved(sifter, stage, effort, stage if again else None)
        if stage.search.infeasible or clock.stopped:
            break
        if stage.search.values is None and turn + 1 >= PLANLESS and sifter.may_be_whole:
            return stage
        kinds = ("deep",)
    improve(stage.search, limit_s)
    plan_whole(stage.search, sifter.wishes.relative_gap / 2, clock.left_s)  # whose bound is of this question alone
    return stage


def _priced_and_planned(sifter: Sifter, stage: _Stage, kinds: Sequence[str]) -> _Stage:
    """Let prices settle by some kinds of pricing, and make plans of the whole at them."""
    search, clock, limit_s, slack = stage.small.search, sifter.clock, sifter.clock.limit_s, stage.slack
    settled = None
    for kind in kinds:
        if search.values is None and not stage.broken and kind == "deep":
            start_whole(search)  # a plan soon; better prices make better ones
        settled = settle(search, slack, kind, 0.5 * (clock.used_s + limit_s))
        slack, stage = settled.slack, replace(stage, broken=settled.broken)
    start_whole(search)
    if search.values is None and search.model.n_nonzeros <= LARGEST_WHOLE:
        plan_whole(search, sifter.wishes.relative_gap / 2, START_SHARE * limit_s)
    spare = sifter.wishes.relative_gap * abs(search.cost)
    if settled is not None and settled.cost - search.bound <= spare:  # better prices would not be enough
        plan_mixed(search, settled.weights)
        improve(search, clock.used_s + min(IMPROVED_SHARE * limit_s, IMPROVED_USED * clock.used_s))
    return replace(stage, slack=slack)


def _proved(
    sifter: Sifter,
    stage: _Stage,
    effort: str,
    before: _Stage | None,
) -> _Stage:
    """Have shards prove the prices there are, and make plans of what they found."""
    small, started = stage.small, sifter.clock.used_s
    proofs = sifter.proofs(small, effort, before)
    sifter.proof_s = max(sifter.proof_s, sifter.clock.used_s - started)
    bound = sifter.proved(small, proofs)
    stage = replace(stage, proofs=proofs, bound=bound)
    if small.search.done or len(proofs) < len(sifter.shards):
        return stage
    stage = _added(sifter, stage, proofs)
    start_whole(stage.small.search)
    return stage


def _added(sifter: Sifter, stage: _Stage, proofs: Sequence[Proof]) -> _Stage:
    """Know the plans of proofs, with the candidates that they need and the small question lacks."""
    more = [p.joined(proof.portion) for p, proof in zip(stage.portions, proofs, strict=True)]
    if any(len(a.pair) > len(b.pair) for a, b in zip(more, stage.portions, strict=True)):
        small = sifter.small(more, stage.small)
        stage = replace(stage, small=small, portions=more, slack=slack_prices(small.search.blocks))
    know(stage.small, [proof.told for proof in proofs])
    return stage


def _refuted(sifter: Sifter, stage: _Stage) -> _Stage:
    """Ask whether any plan can be: let prices of rows settle where nothing else costs anything, and have shards prove them.

    Where blocks use more of the rows at these prices than there is, whatever they do, none can. Else what they found is added.
    """
    search, clock = stage.small.search, sifter.clock
    if not stage.broken or search.values is not None or search.done:
        return stage  # known plans, mixed, keep all rows
    free, slack = costless(search), slack_prices(search.blocks)
    for kind in ("rough", "deep"):
        settled = settle(free, slack, kind, clock.used_s + REFUTED_SHARE * clock.limit_s)
        slack = settled.slack
    if not settled.broken or clock.stopped:
        return stage
    small = replace(stage.small, search=free, is_costless=True)
    proofs = sifter.proofs(small, "usual", None)
    bound = sifter.proved(small, proofs)
    y = clipped(free.blocks, free.duals)
    size = float((np.abs(y) * np.maximum(np.abs(sides(free.blocks, y)), 1.0)).sum())
    search.infeasible = free.infeasible or bound > REFUTED * size
    if search.infeasible or clock.stopped or len(proofs) < len(sifter.shards):
        return stage
    return _added(sifter, stage, proofs)


def _settled(sifter: Sifter, stage: _Stage) -> tuple[_Stage, tuple[str, ...]]:
    """Settle roughly; where what was proposed cannot share what there is, have more proposed at the prices that this has.

    Give the kinds of pricing that are left to do, too.
    """
    for _ in range(PROPOSED):
        search = stage.small.search
        gap = sifter.wishes.relative_gap * (MANY_SHARE if len(sifter.shards) >= 2 * GROUPED else 1.0)
        settled = settle(search, stage.slack, "rough", 0.5 * sifter.clock.limit_s, patience=PATIENCE, gap=gap)
        stage = replace(stage, slack=settled.slack, broken=settled.broken)
        if not settled.broken or search.clock.stopped:
            return stage, ("deep",) if len(sifter.shards) < 2 * GROUPED else ()  # the many proposed deeply at a group's prices
        stage = _proposed_again(sifter, stage)
    return stage, ("rough", "deep")


def _proposed_again(sifter: Sifter, stage: _Stage) -> _Stage:
    """Have shards propose plans at the prices of the small question, and add what these need that it lacks."""
    small, blocks = stage.small, stage.small.search.blocks
    prices = Prices(small.names.row, clipped(blocks, small.search.duals), small.names.column[blocks.shared])
    proposals = sifter.proposed(prices)
    portions = [p.joined(x.portion) if x.portion is not None else p for p, x in zip(stage.portions, proposals, strict=True)]
    small = sifter.small(portions, small)
    know(small, [proposal.told for proposal in proposals])
    return replace(stage, small=small, portions=portions, slack=slack_prices(small.search.blocks))
