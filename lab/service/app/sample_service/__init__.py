"""The lab's sample service: an HTTP API over PostgreSQL and a small model, as simple as a real one can be."""
