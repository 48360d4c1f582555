"""Files of other tools, read and written."""

from optimizer.interop.melange import melange_document

__all__ = ["melange_document"]
