"""Runs of the operator's playbooks that are killed at a task and begun again, in one lab."""
