"""The authorities of a cluster's own certificates: the file that `--ca-file` names.

It must not know who shows certificates, nor when they are verified.
"""

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.ssl import Certificate

from onevalue.errors import ConfigError
from onevalue.journal_file import reason

CA_FILE_SIZE_MAX = 1 << 20
"""Bytes of a file of certificates."""


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
