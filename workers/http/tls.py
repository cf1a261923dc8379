"""The certificate of a server: its owner's, or one made for the occasion, which is never written anywhere."""

from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from workers.http.listening import ListenError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

_VALID = timedelta(days=365)


def context_of(certificate: str, key: str) -> ssl.SSLContext:
    """Return a context for a certificate and its key, both PEM files; the key may be in the certificate's file.

    :raises ListenError: they cannot be read, or do not belong together
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key or None, password=_no_password)
    except (OSError, ssl.SSLError, _EncryptedError) as error:
        what = f"{certificate} and {key}" if key else certificate
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ListenError(f"the certificate cannot be used: {what}: {reason}; give PEM files that match") from None
    return context


class _EncryptedError(Exception):
    """A key that only a password opens: nobody is there who could be asked."""


def _no_password() -> str:
    raise _EncryptedError("the key is encrypted")


def generated_context(host: str) -> ssl.SSLContext:
    """Return a context with a new self-signed certificate for this machine's names, and for ``host`` if it is one."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow, and only needed for this

    key, certificate = _make(host)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)  # the only way in is by a file
    try:
        os.write(fd, pem)
        return context_of(f"/proc/self/fd/{fd}", "")
    finally:
        os.close(fd)


def _make(host: str) -> tuple[EllipticCurvePrivateKey, Certificate]:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "scriptling")])
    names = [each for each in dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname(), host)) if each]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _VALID)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return key, builder.sign(key, hashes.SHA256())


def _general_name(name: str) -> GeneralName:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
