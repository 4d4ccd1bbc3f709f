"""The node agents: finding them, pushing plans, pulling energy."""
