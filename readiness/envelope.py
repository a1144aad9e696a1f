"""DSSE envelopes around in-toto statements: written with a signature or without one, opened again, and checked.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from readiness import keys
from readiness.errors import EvidenceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What an envelope holds.

    Attributes:
        statement: The in-toto statement, as JSON yields it.
        payload: Its bytes, which the signatures are of.
        signatures: Each with the id of its key.
    """

    statement: dict[str, Any]
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]


def statement(subject: str, digest: str, predicate_type: str, predicate: object) -> bytes:
    """Return a statement about one file.

    Args:
        subject: Its name.
        digest: ``sha256:<hex>``.
        predicate_type: Which kind of thing is said.
        predicate: What is said, ready for JSON.
    """
    said = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return spelt(said)


def spelt(said: object) -> bytes:
    """Return the one spelling of what is said, as JSON."""
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def wrapped(payload: bytes, key: Ed25519PrivateKey | None) -> bytes:
    """Return a statement in its envelope, signed with *key*; without one the envelope bears no signature."""
    signed = []
    if key is not None:
        keyid = keys.fingerprint(keys.spelt(key.public_key()))
        signed.append({"keyid": keyid, "sig": base64.b64encode(key.sign(_to_be_signed(payload))).decode()})
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(), "signatures": signed}
    return json.dumps(envelope, indent=1).encode() + b"\n"


def opened(data: bytes, what: str) -> Opened:
    """Return what an envelope holds; its signatures are not checked yet.

    Args:
        data: The envelope.
        what: Names it in an error.

    Raises:
        EvidenceError: it is none, or holds no statement.
    """
    try:
        raw = json.loads(data)
        payload = base64.b64decode(raw["payload"], validate=True)
        found = tuple(
            (str(each.get("keyid", "")), base64.b64decode(each["sig"], validate=True)) for each in raw["signatures"]
        )
        said = json.loads(payload)
        fits = raw["payloadType"] == PAYLOAD_TYPE and said["_type"] == STATEMENT_TYPE
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise EvidenceError(f"{what} is no DSSE envelope with an in-toto statement: {error!r}.") from error
    if not fits:
        raise EvidenceError(f"{what} holds no in-toto statement ({PAYLOAD_TYPE}, {STATEMENT_TYPE}).")
    return Opened(statement=said, payload=payload, signatures=found)


def signed_by(envelope: Opened, public_key: str) -> bool:
    """Say whether an envelope bears a valid signature of a key."""
    from cryptography.exceptions import InvalidSignature

    key = keys.read_public(public_key)
    for _, signature in envelope.signatures:
        try:
            key.verify(signature, _to_be_signed(envelope.payload))
        except InvalidSignature:
            continue
        return True
    return False


def _to_be_signed(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: type and payload, each with its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
