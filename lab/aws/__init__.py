"""The lab's AWS: moto behind checked signatures, with a Route 53 of its own that behaves like the real one."""
