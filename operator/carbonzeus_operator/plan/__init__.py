"""Pure planning: curves, the exact planner, the slowdown bound. No clock, no I/O, no Kubernetes."""
