"""Hands out one loopback address a pod."""

from __future__ import annotations

import ipaddress


class AddressesExhausted(Exception):
    """Every address is in use."""


class AddressPool:
    """The addresses of ``network`` from its ``start``-th on. One that was given back is the last to be used again."""

    def __init__(self, network: ipaddress.IPv4Network, start: int) -> None:
        self._free = [str(network[offset]) for offset in range(start, network.num_addresses - 1)]
        self._network = network

    def take(self, preferred: str | None = None) -> str:
        """A free address, the preferred one if it is free; AddressesExhausted when there is none."""
        if not self._free:
            raise AddressesExhausted(f"no free address in {self._network}")
        index = self._free.index(preferred) if preferred in self._free else 0
        return self._free.pop(index)

    def give_back(self, address: str) -> None:
        """Free an address."""
        self._free.append(address)
