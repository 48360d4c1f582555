"""Migrations of the store, run by Alembic at every start."""
