"""The two-region lab: real servers as ordinary processes on loopback, and the ways to break them."""
