"""The observer: asks every region's PostgreSQL, past all names and balancers, whether it commits a write right now."""
