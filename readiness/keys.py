"""Ed25519 keys with which people sign: read, made, spelt as OpenSSH spells them, and told apart by fingerprint."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from readiness.errors import ReadinessError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# cryptography takes its time to load, and most bundles are signed without a key: it is imported where it is needed.


class KeyFault(ReadinessError):
    """A key cannot be read, or is of another kind."""


def read_private(path: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Return the private key of a file: PEM (PKCS #8), or OpenSSH's own form without a passphrase.

    Args:
        path: The file.
        passphrase: Of an encrypted key.

    Raises:
        KeyFault: there is no such file, the passphrase is wrong or missing, or it is no Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFault(
            f"{path} cannot be read: {error.strerror}.", hint="`readiness keygen FILE` makes a key."
        ) from error
    load = serialization.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else serialization.load_pem_private_key
    try:
        key = load(data, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFault(
            f"{path} cannot be read as a private key: {error}",
            hint="A PEM key with a passphrase needs it in READINESS_KEY_PASSPHRASE; OpenSSH's own form is read without "
            "one only. `readiness keygen FILE` makes a key.",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault(f"{path} holds no Ed25519 key.", hint="`readiness keygen FILE` makes one.")
    return key


def read_public(text: str) -> Ed25519PublicKey:
    """Return the public key that *text* spells, as OpenSSH does (``ssh-ed25519 ...``) or as PEM.

    Raises:
        KeyFault: it spells none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    load = serialization.load_pem_public_key if "BEGIN" in text else serialization.load_ssh_public_key
    try:
        key = load(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFault(f"{text!r} is no public key: {error}", hint=_HOW) from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFault(f"{text!r} is no Ed25519 key.", hint=_HOW)
    return key


_HOW = "Write it as `readiness keygen` prints it: ssh-ed25519 AAAA..."


def spelt(key: Ed25519PublicKey) -> str:
    """Return a public key as ``ssh-ed25519 ...``, without a comment."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def fingerprint(public_key: str) -> str:
    """Return the fingerprint of a key that ``spelt`` has spelt, as ``ssh-keygen -l`` tells it: ``SHA256:...``."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def new_private() -> tuple[bytes, str]:
    """Return a new private key as PEM, and its public key as ``ssh-ed25519 ...``."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, spelt(key.public_key())
