"""Networks: the part of a network address that stands for one customer of an internet provider."""

import ipaddress

# A provider gives each customer at least this prefix (RFC 6177), so that one customer has 2^64 addresses.
IPV6_PREFIX = 64


def parsed_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address in its IPv6-mapped form is that IPv4 address. Raises ValueError."""
    parsed = ipaddress.ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


def network_of(address: str) -> str:
    """The address itself for IPv4, also in its IPv6-mapped form; the /64 for IPv6. Raises ValueError."""
    parsed = parsed_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
