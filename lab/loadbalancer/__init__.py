"""A TCP load balancer in front of ready pods, as a cloud's network load balancer would be."""
