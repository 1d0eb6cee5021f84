"""Make a certificate authority, a host certificate and the users' certificates.

certificates.py FOLDER ORGANISATION USER...
"""

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key() -> rsa.RSAPrivateKey:
    # DIRAC delegates by RSA proxies: keys of another kind are refused.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _builder(subject: str, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=3650))
    )


def _usage(*names: str) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    every += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in every})


def _write(name: str, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
    path = FOLDER / f"{name}key.pem"
    path.touch(mode=0o400)
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(
            encoding,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    (FOLDER / f"{name}cert.pem").write_bytes(certificate.public_bytes(encoding))


def _authority() -> rsa.RSAPrivateKey:
    key = _key()
    certificate = (
        _builder("CA", key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage("digital_signature", "crl_sign", "key_cert_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write("ca", certificate, key)
    return key


def _member(name: str, common_name: str, authority: rsa.RSAPrivateKey, host: bool = False) -> None:
    key = _key()
    usage = _usage("digital_signature", "key_encipherment", "content_commitment")
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(common_name, key)
    if host:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        addresses = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(authority, hashes.SHA256())
    )
    _write(name, certificate, key)


FOLDER, ORGANISATION, USERS = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
AUTHORITY = _authority()
_member("host", "localhost", AUTHORITY, host=True)
for user in USERS:
    _member(user, user, AUTHORITY)
