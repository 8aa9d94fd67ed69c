"""Container images as OCI layouts on disk, and a registry that serves them."""
