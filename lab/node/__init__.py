"""A node for a Kubernetes API: registers itself and runs the pods bound to it as ordinary processes."""
