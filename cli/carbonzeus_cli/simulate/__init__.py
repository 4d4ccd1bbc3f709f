"""What carbonzeus would have saved: the operator's own planner, run over recorded carbon intensity.

The closed loop (`loop`) follows the very function that the operator follows. Beside it stand what else could have been done: the
default limit, the best constant limit, Eq. 6 tuned in hindsight, and the optimum that nobody can beat.
"""
