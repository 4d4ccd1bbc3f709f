"""The node agent of carbonzeus: the only part with privileges over GPUs."""
