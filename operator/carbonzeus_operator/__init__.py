"""The control plane of carbonzeus. A reader should start at `decide.py`."""
