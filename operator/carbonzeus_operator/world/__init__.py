"""What the cluster looks like now: watches and lists in, one snapshot out."""
