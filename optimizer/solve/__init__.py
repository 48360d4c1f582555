"""How a compiled question is solved. Whatever the method, the answer is one ``Solution`` in the columns of the whole model."""

from optimizer.solve.cluster import reached
from optimizer.solve.learned import Learned, load_learned
from optimizer.solve.method import solve_compiled
from optimizer.solve.sifted import NotSiftedError, is_sifted, sifted

__all__ = ["Learned", "NotSiftedError", "is_sifted", "load_learned", "reached", "sifted", "solve_compiled"]
