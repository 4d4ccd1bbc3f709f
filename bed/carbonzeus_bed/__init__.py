"""The bed: a real Kubernetes control plane with emulated GPU nodes, for the demo and the tests."""
