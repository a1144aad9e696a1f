"""Keys and envelopes: what OpenSSH and others made is read, and one changed byte is no signature."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from readiness import envelope, keys
from readiness.errors import EvidenceError
from readiness.keys import KeyFault

SSH = serialization.PrivateFormat.OpenSSH
PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM
# RFC 8032, section 7.1, test 1; the fingerprint is what `ssh-keygen -l` tells of this key.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def written(folder, key, form=PKCS8, passphrase=None):
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    file = folder / "key"
    file.write_bytes(key.private_bytes(PEM, form, hidden))
    return file


@pytest.mark.parametrize("form", [PKCS8, SSH], ids=["PEM", "OpenSSH"])
def test_a_private_key_is_read_in_both_forms(tmp_path, form):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)

    read = keys.read_private(written(tmp_path, key, form))

    assert read.public_key().public_bytes_raw() == key.public_key().public_bytes_raw()


def test_a_key_with_a_passphrase_needs_it(tmp_path):
    file = written(tmp_path, ed25519.Ed25519PrivateKey.generate(), PKCS8, b"open sesame")

    assert keys.read_private(file, "open sesame")
    for wrong in (None, "close sesame"):
        with pytest.raises(KeyFault) as caught:
            keys.read_private(file, wrong)
        assert "READINESS_KEY_PASSPHRASE" in caught.value.hint


def test_a_key_of_another_kind_is_refused(tmp_path):
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(KeyFault, match="holds no Ed25519 key"):
        keys.read_private(written(tmp_path, other))
    public = other.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    with pytest.raises(KeyFault, match="is no Ed25519 key"):
        keys.read_public(public.decode())


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "-----BEGIN PUBLIC KEY-----\nx", "x" * 5000])
def test_what_is_no_public_key_is_refused_with_how_to_write_one(text):
    with pytest.raises(KeyFault) as caught:
        keys.read_public(text)
    assert "ssh-ed25519 AAAA" in caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeyFault, match="cannot be read: No such file"):
        keys.read_private(tmp_path / "none")


def test_a_public_key_is_one_however_it_is_written():
    key = ed25519.Ed25519PublicKey.from_public_bytes(PUBLIC)
    pem = key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    assert keys.spelt(keys.read_public(pem)) == keys.spelt(key)
    assert keys.spelt(keys.read_public(keys.spelt(key) + " ada@example\n")) == keys.spelt(key)


def test_the_fingerprint_is_the_one_that_openssh_tells():
    text = keys.spelt(ed25519.Ed25519PublicKey.from_public_bytes(PUBLIC))

    assert text == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    assert keys.fingerprint(text) == "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"


# --- envelopes -------------------------------------------------------------------------------------------------------


def a_statement(predicate=None):
    return envelope.statement("manifest.json", "sha256:" + "0" * 64, "urn:test", predicate or {"says": "ä"})


def test_an_envelope_is_signed_over_type_and_payload_as_dsse_says():
    """The encoding is that of the protocol's own example, with our payload type."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
    payload = a_statement()

    raw = json.loads(envelope.wrapped(payload, key))

    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    key.public_key().verify(base64.b64decode(raw["signatures"][0]["sig"]), signed)
    assert base64.b64decode(raw["payload"]) == payload


def test_only_the_key_that_signed_has_signed():
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    opened = envelope.opened(envelope.wrapped(a_statement(), key), "it")

    assert envelope.signed_by(opened, keys.spelt(key.public_key()))
    assert not envelope.signed_by(opened, keys.spelt(other.public_key()))


def test_an_envelope_without_a_signature_is_signed_by_nobody():
    key = ed25519.Ed25519PrivateKey.generate()

    opened = envelope.opened(envelope.wrapped(a_statement(), None), "it")

    assert opened.statement["predicate"] == {"says": "ä"}
    assert not envelope.signed_by(opened, keys.spelt(key.public_key()))


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
WRAPPED = envelope.wrapped(a_statement(), KEY)


@given(st.integers(0, len(WRAPPED) - 1), st.integers(1, 255))
def test_one_changed_byte_is_no_signature_over_something_else(index, flip):
    changed = bytearray(WRAPPED)
    changed[index] ^= flip
    try:
        opened = envelope.opened(bytes(changed), "it")
    except EvidenceError:
        return
    if envelope.signed_by(opened, keys.spelt(KEY.public_key())):
        assert opened.payload == a_statement()


@given(st.binary(max_size=200))
def test_whatever_is_no_envelope_is_refused_by_its_name(data):
    with pytest.raises(EvidenceError, match=r"^it "):
        envelope.opened(data, "it")
