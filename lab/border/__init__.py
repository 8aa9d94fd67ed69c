"""The edge of a region: what enters or leaves it over TCP passes through one process, which can break it."""
