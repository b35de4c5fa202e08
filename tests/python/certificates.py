"""A certificate authority for tests and a server certificate signed by it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Wide enough for tests that shift the clock.
LIFE = timedelta(days=3650)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Authority:
    """Writes ``ca_file`` and the ``cert_file`` and ``key_file`` of a server on localhost and 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.ca_file, self.cert_file, self.key_file = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        self._key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._name = _name("quant-framework test authority")
        ca = self._sign(self._builder(self._name, self._key, ca=True, usage="key_cert_sign"))
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        builder = self._builder(_name("localhost"), key, ca=False, usage="digital_signature")
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        self.ca_file.write_bytes(ca)
        self.cert_file.write_bytes(self._sign(builder))
        self._write_key(key)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool, usage: str
    ) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFE)
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**{each: each == usage for each in USAGES}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write_key(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.key_file.touch(mode=0o600)  # PostgreSQL refuses a key that others may read
        self.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
