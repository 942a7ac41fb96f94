"""Throw-away certificates for signing, valid from yesterday."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

ISSUER, SIGNER = "Issuer of the tests", "Signer of the tests"
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def write_signer(folder: Path, days: float = 30) -> tuple[Path, Path]:
    """Write a certificate with its issuer, and its key; return both files.

    Args:
        folder: where.
        days: validity in days from now; negative: it has expired.
    """
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = (_certificate(SIGNER, key, root, days), _certificate(ISSUER, root, root, days))
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, days: float
) -> x509.Certificate:
    is_issuer = key is issuer
    allowed = {"key_cert_sign", "crl_sign"} if is_issuer else {"digital_signature"}
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(_name(ISSUER), _name(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage in allowed for usage in USAGES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if not is_issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    named = {NameOID.COMMON_NAME: common_name, NameOID.ORGANIZATION_NAME: "Dubline tests"}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in named.items()])
