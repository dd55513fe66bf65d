"""Signatures of webhooks as Standard Webhooks defines them (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(id: str, body: bytes, secret_texts: Iterable[str], now: float) -> dict[str, str]:
    """Return the headers of a message: its id, its time, and a signature of each secret."""
    stamp = str(int(now))
    signed = f"{id}.{stamp}.".encode() + body
    signatures = [f"v1,{_sign(text, signed)}" for text in secret_texts]
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
