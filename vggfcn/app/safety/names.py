"""Whose requests are answered: the names of this server, and pages of its own."""

import ipaddress
import re
from collections.abc import Mapping

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_OWN_SITE = (None, "same-origin", "none")  # what browsers send as Sec-Fetch-Site; "none" if a person typed the address


def is_loopback(host: str) -> bool:
    """Whether a host name or address can be reached from this machine only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Names:
    """The values of the header Host that a server answers to.

    host: the name or address that it was told to listen on.
    port: the port that it listens on.
    local: whether only this machine can reach it. Then only this machine's local names are accepted: a foreign web page
        could reach it otherwise, by a domain name that leads here (DNS rebinding).
    """

    def __init__(self, host: str, port: int, local: bool):
        self._host, self._port, self._local = host.lower(), port, local

    def accept(self, header: str) -> bool:
        """Whether a request with this header is for this server."""
        found = _HOST.fullmatch(header)
        if not found:
            return False
        name, port = found[1].strip("[]").lower(), found[2]
        return not self._local or (port in (None, str(self._port)) and (name == self._host or is_loopback(name)))


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin makes the request; `headers` have lower-case names."""
    own = (f"http://{headers['host']}", f"https://{headers['host']}")
    return headers.get("sec-fetch-site") not in _OWN_SITE or headers.get("origin", own[0]) not in own
