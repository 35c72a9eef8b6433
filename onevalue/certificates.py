"""Which certificates of members are believed: signed by an authority that we trust, for the address that we called.

It owns the file that `--ca-file` names, and the check at each connection. Not left to Twisted's own, which lets a
certificate pass that names nobody at all (26.10, with service-identity 24.1 or newer): whatever cannot be verified is
refused here. It must not know what is said over a connection.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL, crypto
from service_identity.cryptography import verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.errors import ConfigError, UndecipherableError
from onevalue.reasons import reason

CA_FILE_SIZE_MAX = 1 << 20
"""Bytes of a file of certificates."""

_WHY = {
    SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED: "it, or what it stands upon, has expired",
    SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID: "it, or what it stands upon, is not valid yet (our clock?)",
}
_UNTRUSTED = "no authority that this node trusts vouches for it (--ca-file)"


def read_authorities(path: Path) -> Sequence[Certificate]:
    """The certificates in the PEM file that `--ca-file` names, one or more.

    Raises:
        ConfigError: it cannot be read, is too large, or holds no certificate, or one that is broken.
    """
    try:
        with path.open("rb") as file:
            data = file.read(CA_FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"--ca-file: {path} cannot be read: {reason(error)}") from None
    if len(data) > CA_FILE_SIZE_MAX:
        raise ConfigError(f"--ca-file: {path} has more than {CA_FILE_SIZE_MAX} bytes. Leave only certificates in it")
    try:
        found = load_pem_x509_certificates(data)
        return [Certificate.loadPEM(each.public_bytes(Encoding.PEM)) for each in found]
    except ValueError:
        raise ConfigError(
            f"--ca-file: {path} holds no certificate in PEM, or a broken one. Put the certificate there that has signed"
            " those of the nodes, from -----BEGIN CERTIFICATE----- on"
        ) from None


class Authorities:
    """Makes the client's side of TLS connections that end at their start unless the other side is who was called.

    Args:
        authorities: who vouches for certificates; None: those of the platform.
    """

    def __init__(self, authorities: Sequence[Certificate] | None = None) -> None:
        self._authorities = authorities
        self._context: SSL.Context | None = None

    def connection_to(self, address: str) -> "Verified":
        """For a connection to a numeric address, IPv4 or IPv6."""
        if self._context is None:  # at the first use: to read the platform's takes a while, and few need it
            known = self._authorities
            trusted = platformTrust() if known is None else trustRootFromCertificates(known)
            self._context = CertificateOptions(trustRoot=trusted).getContext()
        return Verified(self._context, address)


@implementer(IOpenSSLClientConnectionCreator)
class Verified:
    """Connections to one address.

    Args:
        context: with the authorities that are trusted.
        address: numeric; must be among the subject alternative names of the certificate (RFC 9525).
    """

    def __init__(self, context: SSL.Context, address: str) -> None:
        self._context = context
        self._address = str(ip_address(address))

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator. What does not verify fails with UndecipherableError."""
        connection = SSL.Connection(self._context, None)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verifier(protocol))
        return connection

    def _verifier(self, protocol: Any) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
        def verify(_: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
            why = None if ok else _WHY.get(error, _UNTRUSTED)
            if ok and depth == 0:
                why = self._why_not_theirs(certificate)
            if why is not None:
                problem = UndecipherableError(f"the certificate of {self._address} is refused: {why}")
                protocol.failVerification(Failure(problem))
            return why is None

        return verify

    def _why_not_theirs(self, certificate: crypto.X509) -> str | None:
        """Why a certificate does not belong to the address; None if it does."""
        try:
            verify_certificate_ip_address(certificate.to_cryptography(), self._address)
        except Exception:  # noqa: BLE001  # whatever it stumbles over, a certificate that cannot be read is none
            return "it is not for this address, which must stand in it as a subject alternative name"
        return None
