"""Addresses: raw bytes as messages carry them, text as sockets want them.

Members keep the bytes in the form in which they came, because nodes compare them byte by byte (wire README 2.6);
only what is dialled is text, and an IPv4 address in its 16-byte mapped form is dialled as IPv4.
"""

from ipaddress import IPv6Address, ip_address

from onevalue.types import Address

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


def to_address(addr: bytes, port: int) -> Address:
    """Where to send for a member at `addr`, 4 or 16 bytes. Raises ValueError for any other length."""
    if len(addr) == 16 and addr.startswith(_MAPPED_PREFIX):
        addr = addr[12:]
    if len(addr) == 4:
        return (f"{addr[0]}.{addr[1]}.{addr[2]}.{addr[3]}", port)
    return (str(ip_address(addr)), port)


def to_bytes(host: str) -> bytes:
    """The 4 or 16 bytes of a numeric host, without a scope. Raises ValueError for a name."""
    return ip_address(host).packed


def unmapped(address: Address) -> Address:
    """The same address, with an IPv4 host that a dual-stack socket showed in its mapped form as IPv4."""
    host, port = address
    if not host.startswith("::ffff:"):
        return address
    try:
        mapped = IPv6Address(host).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else (str(mapped), port)


def forms_of(addr: bytes) -> tuple[bytes, ...]:
    """All bytes that messages may carry for this address: an IPv4 one has a mapped form, too."""
    plain = addr[12:] if len(addr) == 16 and addr.startswith(_MAPPED_PREFIX) else addr
    return (plain, _MAPPED_PREFIX + plain) if len(plain) == 4 else (plain,)


def is_addr(addr: bytes) -> bool:
    """Whether these bytes are an address at all."""
    return len(addr) in {4, 16}
