"""What the job remembers: runs, journal, plans and what they learned, feeds, demand, scores; SQLite or PostgreSQL, one code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from optimizer.errors import BusyError, UnavailableError

__all__ = ["STAGES", "Run", "Store", "now_text"]

STAGES = ("started", "fed", "solved", "verified", "guarded", "published")
ADVISORY_LOCK = 0x616C6C6F63  # "alloc"
Run = Mapping[str, Any]
DEMAND_BATCH = 5000
_SQL = sa.MetaData()


RUNS = sa.Table(
    "runs",
    _SQL,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(c, sa.Text) for c in ("day", "config_hash", "key", "stage", "started_at", "ended_at")),
    sa.Column("exit_code", sa.Integer),
    *(sa.Column(c, sa.Text) for c in ("message", "question", "plan_hash", "override")),
)
JOURNAL = sa.Table(
    "journal",
    _SQL,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Integer),
    *(sa.Column(c, sa.Text) for c in ("stage", "at", "detail")),
)
PLANS = sa.Table(
    "plans",
    _SQL,
    sa.Column("hash", sa.Text, primary_key=True),
    *(sa.Column(c, sa.Text) for c in ("instance_hash", "made_at", "body")),
)
FEEDS = sa.Table(
    "feeds",
    _SQL,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(c, sa.Text) for c in ("name", "taken_at", "as_of", "body")),
)
DEMAND = sa.Table(
    "demand",
    _SQL,
    *(sa.Column(c, sa.Text, primary_key=True) for c in ("workload", "request_class", "hour")),
    sa.Column("rate_per_s", sa.Float),
)
SCORES = sa.Table(
    "scores",
    _SQL,
    sa.Column("run_id", sa.Integer, primary_key=True),
    *(sa.Column(c, sa.Text, primary_key=True) for c in ("workload", "request_class")),
    *(sa.Column(c, sa.Float) for c in ("coverage", "pinball")),
    sa.Column("note", sa.Text),
)
LEARNED = sa.Table("learned", _SQL, sa.Column("run_id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))


def now_text(now: datetime | None = None) -> str:
    """Give a moment as ISO 8601 UTC text, which sorts as time does."""
    return (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")


class Store:
    """The store behind a URL. Every method is one transaction; what cannot be reached raises ``UnavailableError``.

    Passwords never leave it: messages show the URL with the password hidden.
    """

    def __init__(self, url: str) -> None:
        """Reach the store and bring its tables up to date."""
        try:
            parsed = sa.make_url(url)
            if parsed.drivername.startswith("sqlite") and parsed.database not in (None, "", ":memory:"):
                Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=_patience(parsed))
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            raise UnavailableError(f"the store cannot be used: {type(error).__name__}") from None
        self.shown = parsed.render_as_string(hide_password=True)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _set_up_sqlite)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        with self._begun() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: sa.exc.SQLAlchemyError) -> UnavailableError:
        why = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        return UnavailableError(f"the store {self.shown} fails: {why}")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        """Give the store itself; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of every connection."""
        self.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep runs of other hosts out while the block runs, where the store can: PostgreSQL lets go when the session ends.

        Raises
        ------
        BusyError : a run on another host holds it
        """
        if self.engine.dialect.name != "postgresql":
            yield
            return
        try:
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            got = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK)))
        except sa.exc.SQLAlchemyError as error:
            raise self._unavailable(error) from None
        try:
            if not got:
                raise BusyError(f"another run holds the store {self.shown}; it is left alone")
            yield
        finally:
            connection.invalidate()  # the session ends, and the lock with it, whatever state it is in
            connection.close()

    def begin_run(self, day: str, config_hash: str, override: str) -> Run:
        """Give the unfinished run of this day and configuration, or a new one."""
        with self._begun() as c:
            wanted = (RUNS.c.day == day) & (RUNS.c.config_hash == config_hash) & RUNS.c.exit_code.is_(None)
            found = c.execute(sa.select(RUNS).where(wanted).order_by(RUNS.c.id.desc()).limit(1)).mappings().first()
            if found is None:
                dead = {"exit_code": 137, "message": "died, and was not taken up again", "ended_at": now_text()}
                c.execute(RUNS.update().where(RUNS.c.exit_code.is_(None)).values(**dead))
                row = {
                    "day": day,
                    "config_hash": config_hash,
                    "stage": "started",
                    "started_at": now_text(),
                    "message": "",
                    "override": override,
                }
                number = c.execute(RUNS.insert().values(**row).returning(RUNS.c.id)).scalar_one()
                c.execute(JOURNAL.insert().values(run_id=number, stage="started", at=now_text(), detail="{}"))
                found = c.execute(sa.select(RUNS).where(RUNS.c.id == number)).mappings().one()
            return dict(found)

    def reach(self, run_id: int, stage: str, detail: Mapping[str, Any], **changes: Any) -> None:
        """Journal that a run reached a stage, with what it brings, in one transaction."""
        with self._begun() as c:
            c.execute(RUNS.update().where(RUNS.c.id == run_id).values(stage=stage, **changes))
            c.execute(
                JOURNAL.insert().values(run_id=run_id, stage=stage, at=now_text(), detail=json.dumps(detail, sort_keys=True))
            )

    def end_run(self, run_id: int, exit_code: int, message: str) -> None:
        """Close a run with its exit code."""
        with self._begun() as c:
            c.execute(
                RUNS.update().where(RUNS.c.id == run_id).values(exit_code=exit_code, message=message[:4000], ended_at=now_text())
            )

    def last_published(self) -> Run | None:
        """Give the run whose plan is in force."""
        with self._begun() as c:
            found = (
                c.execute(sa.select(RUNS).where(RUNS.c.stage == "published").order_by(RUNS.c.id.desc()).limit(1))
                .mappings()
                .first()
            )
            return None if found is None else dict(found)

    def runs(self, limit: int = 50) -> list[Run]:
        """Give the latest runs, newest first, without their questions."""
        shown = [c for c in RUNS.c if c.name != "question"]
        with self._begun() as c:
            return [dict(r) for r in c.execute(sa.select(*shown).order_by(RUNS.c.id.desc()).limit(limit)).mappings()]

    def run(self, run_id: int) -> Run | None:
        """Give one run with its question, or None."""
        with self._begun() as c:
            found = c.execute(sa.select(RUNS).where(RUNS.c.id == run_id)).mappings().first()
            return None if found is None else dict(found)

    def journal(self, run_id: int) -> list[Run]:
        """Give a run's journal in order."""
        with self._begun() as c:
            rows = c.execute(sa.select(JOURNAL).where(JOURNAL.c.run_id == run_id).order_by(JOURNAL.c.id)).mappings()
            return [{**r, "detail": json.loads(r["detail"])} for r in rows]

    def save_plan(self, body: str, instance_hash: str) -> str:
        """Keep a plan's text; give its SHA-256, by which it is asked for. The same plan is kept once."""
        key = hashlib.sha256(body.encode()).hexdigest()
        self._insert_new(PLANS, [{"hash": key, "instance_hash": instance_hash, "made_at": now_text(), "body": body}])
        return key

    def plan(self, key: str) -> str | None:
        """Give a plan's text if it is there and is still what was written."""
        with self._begun() as c:
            body = c.scalar(sa.select(PLANS.c.body).where(PLANS.c.hash == key))
        return body if body is not None and hashlib.sha256(body.encode()).hexdigest() == key else None

    def save_feed(self, name: str, as_of: str, body: str) -> None:
        """Keep a good copy of a feed."""
        with self._begun() as c:
            c.execute(FEEDS.insert().values(name=name, taken_at=now_text(), as_of=as_of, body=body))

    def last_feed(self, name: str) -> Run | None:
        """Give the last good copy of a feed."""
        with self._begun() as c:
            found = (
                c.execute(sa.select(FEEDS).where(FEEDS.c.name == name).order_by(FEEDS.c.id.desc()).limit(1)).mappings().first()
            )
            return None if found is None else dict(found)

    def save_demand(self, rows: Iterable[tuple[str, str, str, float]]) -> None:
        """Keep hourly rates (workload, class, hour, rate); a later figure for the same hour replaces the earlier."""
        values = [dict(zip(("workload", "request_class", "hour", "rate_per_s"), row, strict=True)) for row in rows]
        for at in range(0, len(values), DEMAND_BATCH):
            self._insert_new(DEMAND, values[at : at + DEMAND_BATCH], replace="rate_per_s")

    def demand(self, since: str) -> list[tuple[str, str, str, float]]:
        """Give the hourly rates from an hour on, in order."""
        with self._begun() as c:
            wanted = (
                sa.select(DEMAND).where(DEMAND.c.hour >= since).order_by(DEMAND.c.workload, DEMAND.c.request_class, DEMAND.c.hour)
            )
            return [tuple(row) for row in c.execute(wanted)]

    def save_scores(self, run_id: int, scores: Sequence[Mapping[str, Any]]) -> None:
        """Keep how good the forecasts of a run were on the days before."""
        self._insert_new(SCORES, [{"run_id": run_id, **s} for s in scores])

    def scores(self, run_id: int) -> list[Run]:
        """Give the forecast scores of a run."""
        with self._begun() as c:
            return [dict(r) for r in c.execute(sa.select(SCORES).where(SCORES.c.run_id == run_id)).mappings()]

    def save_learned(self, run_id: int, body: str) -> None:
        """Keep what a run's solve learned, and drop what is older than that of the last run published."""
        self._insert_new(LEARNED, [{"run_id": run_id, "body": body}], replace="body")
        published = sa.select(RUNS.c.id).where(RUNS.c.stage == "published")
        with self._begun() as c:
            last = c.scalar(sa.select(sa.func.max(LEARNED.c.run_id)).where(LEARNED.c.run_id.in_(published)))
            c.execute(LEARNED.delete().where(LEARNED.c.run_id < (last or -1)))

    def learned(self) -> str | None:
        """Give what the solve of the last run learned that was published after a solve."""
        published = sa.select(RUNS.c.id).where(RUNS.c.stage == "published")
        wanted = sa.select(LEARNED.c.body).where(LEARNED.c.run_id.in_(published)).order_by(LEARNED.c.run_id.desc()).limit(1)
        with self._begun() as c:
            found: str | None = c.scalar(wanted)
            return found

    def forget(self, keep_days: int) -> int:
        """Drop what is older than ``keep_days``, but never the plan in force nor the last good feeds; give the runs dropped."""
        edge = now_text(datetime.now(UTC) - timedelta(days=keep_days))
        with self._begun() as c:
            in_force = c.scalar(sa.select(sa.func.max(RUNS.c.id)).where(RUNS.c.stage == "published"))
            old = (RUNS.c.started_at < edge) & (RUNS.c.id != (in_force or -1))
            gone = c.scalars(sa.select(RUNS.c.id).where(old)).all()
            for table in (JOURNAL, SCORES, LEARNED):
                c.execute(table.delete().where(table.c.run_id.in_(gone)))
            c.execute(RUNS.delete().where(RUNS.c.id.in_(gone)))
            kept = sa.select(RUNS.c.plan_hash).where(RUNS.c.plan_hash.is_not(None))
            c.execute(PLANS.delete().where((PLANS.c.made_at < edge) & PLANS.c.hash.not_in(kept)))
            latest = sa.select(sa.func.max(FEEDS.c.id)).group_by(FEEDS.c.name)
            c.execute(FEEDS.delete().where((FEEDS.c.taken_at < edge) & FEEDS.c.id.not_in(latest)))
            c.execute(DEMAND.delete().where(DEMAND.c.hour < edge))
            return len(gone)

    def _insert_new(self, table: sa.Table, rows: list[dict[str, Any]], replace: str | None = None) -> None:
        if not rows:
            return
        insert: Any = (postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert)(table)
        keys = [c.name for c in table.primary_key]
        if replace is None:
            insert = insert.on_conflict_do_nothing(index_elements=keys)
        else:
            insert = insert.on_conflict_do_update(index_elements=keys, set_={replace: insert.excluded[replace]})
        with self._begun() as c:
            c.execute(insert, rows)


def _patience(url: sa.URL) -> dict[str, Any]:
    return {"connect_timeout": 10} if url.drivername.startswith("postgresql") else {"timeout": 30}


def _set_up_sqlite(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
