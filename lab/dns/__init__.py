"""DNS for the lab: an authoritative server over Route 53's state, and the caching resolver that clients use."""
