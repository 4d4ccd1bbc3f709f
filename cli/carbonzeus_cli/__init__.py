"""The command line: `carbonzeus`, also reachable as `kubectl carbon`."""
