"""A model of regions, witness and operators in virtual time."""
