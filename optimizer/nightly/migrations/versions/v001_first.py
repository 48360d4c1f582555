"""Runs, their journal, plans, feeds, demand and forecast scores."""

import sqlalchemy as sa
from alembic import op

revision = "001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("config_hash", sa.String(64), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("ended_at", sa.String(40)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("question", sa.Text),
        sa.Column("plan_hash", sa.String(64)),
        sa.Column("override", sa.Text, nullable=False),
    )
    op.create_index("runs_by_key", "runs", ["key"])
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("instance_hash", sa.String(64), nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "feeds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("taken_at", sa.String(40), nullable=False),
        sa.Column("as_of", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("feeds_by_name", "feeds", ["name", "id"])
    op.create_table(
        "demand",
        sa.Column("workload", sa.String(120), primary_key=True),
        sa.Column("request_class", sa.String(120), primary_key=True),
        sa.Column("hour", sa.String(40), primary_key=True),
        sa.Column("rate_per_s", sa.Float, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("workload", sa.String(120), primary_key=True),
        sa.Column("request_class", sa.String(120), primary_key=True),
        sa.Column("coverage", sa.Float),
        sa.Column("pinball", sa.Float),
        sa.Column("note", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("scores", "demand", "feeds", "plans", "journal", "runs"):
        op.drop_table(name)
