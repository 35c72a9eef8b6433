"""Authorities and certificates for tests of TLS, made on the spot, in PEM files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    DNSName,
    IPAddress,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    random_serial_number,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate file and its key file."""

    certificate: Path
    key: Path

    def endpoint(self, host: str, port: int) -> str:
        """The strports description of a service with this certificate."""
        where = host.replace(":", "\\:")
        return f"ssl:{port}:interface={where}:certKey={self.certificate}:privateKey={self.key}"


class Authority:
    """Signs certificates; its own is in `file`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _sign(name, self._key, None, None, authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    @classmethod
    def new(cls, folder: Path, name: str = "authority") -> Self:
        """A new one; `folder` is there afterwards."""
        folder.mkdir(exist_ok=True)
        return cls(folder, name)

    def pair(self, name: str, *addresses: str, days: float = 1.0) -> Pair:
        """A certificate for these addresses, or host names, good for so many days from now on: of none, if below 0."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _sign(name, key, self._certificate, self._key, addresses, days=days)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return pair


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey | None,
    addresses: tuple[str, ...] = (),
    *,
    days: float = 1.0,
    authority: bool = False,
) -> Certificate:
    subject, now = Name([NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if addresses:
        builder = builder.add_extension(SubjectAlternativeName([_name(each) for each in addresses]), critical=False)
    return builder.sign(issuer_key or key, SHA256())


def _name(address: str) -> IPAddress | DNSName:
    try:
        return IPAddress(ip_address(address))
    except ValueError:
        return DNSName(address)
