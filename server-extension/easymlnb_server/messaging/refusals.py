"""Why a broker refuses a bridge, and what its administrator can do about it."""

import ssl
from typing import Any, Literal

from easymlnb_server.messaging.models import Bridge, ConnectionLost

MQTT_LOGIN = (0x86, 0x87, 0x8C)
"""Reason codes of MQTT: a wrong password, no permission, a wrong method of login."""


def tls_context(bridge: Bridge) -> ssl.SSLContext:
    """Return how the broker's certificate is checked; blocks. Raises ``ConnectionLost``."""
    try:
        return ssl.create_default_context(cafile=bridge.ca_file or None)
    except OSError as error:
        reason = error.strerror or error
        raise ConnectionLost(
            f"The file ca_file {bridge.ca_file!r} cannot be read ({reason}). It must have the "
            "certificate of the authority that signed the broker's, in PEM format."
        ) from error


def not_connected(bridge: Bridge, error: Exception) -> ConnectionLost:
    """Return why the connection to a broker failed."""
    broker = ",".join(f"{host}:{port}" for host, port in bridge.addresses)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost(
            f"The certificate of the broker {broker} is not trusted ({error.verify_message}). Set "
            "ca_file to the certificate of the authority that signed it, and use a host name that "
            "it has."
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return ConnectionLost(
            f"The broker {broker} refused the TLS connection ({error.reason}). It must not require "
            "certificates of clients, which bridges do not have."
        )
    if isinstance(error, ssl.SSLError):
        plain = bridge.url.partition("://")[0].removesuffix("s")
        return ConnectionLost(
            f"The broker {broker} does not use TLS on this port ({error.reason or error}). Correct "
            f"the port, or use {plain}://."
        )
    return ConnectionLost(
        f"The broker {broker} does not respond ({error or 'no answer'}). Check the address, and "
        "whether it needs TLS."
    )


def mqtt_refusal(bridge: Bridge, code: Any) -> str:
    """Return why an MQTT broker refused to connect; ``code`` is a reason code of paho."""
    if code.value not in MQTT_LOGIN:
        return (
            f"The broker refused the connection ({code}). Check group, which names the session, "
            "and the broker's limits."
        )
    who = f"the login {bridge.login!r}" if bridge.login else "a client without a login"
    return f"The broker refused {who} ({code}). Check login, password_file and the broker's rules."


def kafka_refusal(
    bridge: Bridge, error: Exception, doing: Literal["read", "write"], topic: str
) -> ConnectionLost | None:
    """Return why Kafka refused something; ``None`` if ``error``, of aiokafka, is no refusal."""
    who = f"The login {bridge.login!r}" if bridge.login else "A client without a login"
    allow = "in Kafka's access control lists (ACLs)."
    login = (
        f"Kafka refused the login {bridge.login!r} ({error}). Check login, password_file and "
        "sasl_mechanism."
    )
    reasons = {
        "AuthenticationFailedError": login,
        "SaslAuthenticationFailed": login,
        "UnsupportedSaslMechanismError": f"Kafka does not accept the sasl_mechanism "
        f"{bridge.sasl_mechanism!r} ({error}).",
        "TopicAuthorizationFailedError": f"{who} may not {doing} the topic {topic!r}. Allow it "
        f"{allow}",
        "GroupAuthorizationFailedError": f"{who} may not use the consumer group. Set group, or "
        f"allow it {allow}",
        "ClusterAuthorizationFailedError": f"{who} may not write safely to this cluster. Allow "
        f"IdempotentWrite {allow}",
        "UnknownTopicOrPartitionError": f"Kafka has no topic {topic!r}. Create it.",
    }
    reason = reasons.get(type(error).__name__)
    return ConnectionLost(reason) if reason else None


def kafka_problem(
    bridge: Bridge, error: Exception, doing: Literal["read", "write"], topic: str
) -> ConnectionLost:
    """Return why reading or writing a topic failed."""
    what = {"read": "read", "write": "written"}[doing]
    return kafka_refusal(bridge, error, doing, topic) or ConnectionLost(
        f"The topic {topic!r} of Kafka cannot be {what} ({error})."
    )
