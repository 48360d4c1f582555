"""How a compiled question is solved. Whatever the method, the answer is one ``Solution`` in the columns of the whole model."""

from optimizer.solve.cluster import reached
from optimizer.solve.learned import Learned, load_learned
from optimizer.solve.method import solve_compiled, solve_question

__all__ = ["Learned", "load_learned", "reached", "solve_compiled", "solve_question"]
