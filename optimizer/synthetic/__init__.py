"""Synthetic instances of any size, for measuring: nothing in them was observed, and every figure says so (``assumed``)."""

from optimizer.synthetic.instances import synthetic_document

__all__ = ["synthetic_document"]
