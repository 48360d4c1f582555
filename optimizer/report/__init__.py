"""A plan in other clothes: text, Markdown, CSV, JSON. No arithmetic that is not formatting."""

from optimizer.report.text import FORMATS, render, render_counts, render_rejected

__all__ = ["FORMATS", "render", "render_counts", "render_rejected"]
