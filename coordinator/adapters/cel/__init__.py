"""Evaluates expressions with Google's CEL, in C++ inside this process.

Its promises are kept around it: what it does not bound or leaves to chance is refused before it is asked.
"""

from coordinator.adapters.cel.expressions import CelExpressions

__all__ = ["CelExpressions"]
