"""The tables after the newest migration; a test compares the two."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# The owner's name, a slash and the service's name; SQLite ignores lengths.
NAME = String(63).with_variant(String(320), "postgresql")

bundles = Table(
    "bundles",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String, nullable=False),
    Column("names", JSON, nullable=False),
    Column("provides", JSON, nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("file", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("log", String(64)),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
    Index(None, "state"),
)

# A deleted service keeps its row: ``last`` prevents that a version number is used again, and
# ``moved`` is the name of a service that was transferred to another owner.
services = Table(
    "services",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("owner", String, nullable=False),
    Column("last", Integer, nullable=False),
    Column("current", Integer),
    Column("created", Float(53), nullable=False),
    Column("deleted", Float(53)),
    Column("access", JSON(none_as_null=True)),
    Column("changed", Float(53)),
    Column("moved", String(320)),
    # How calls are divided among the versions; empty if ``current`` answers all of them.
    Column("traffic", JSON(none_as_null=True)),
    Column("revision", Integer, nullable=False, server_default=text("0")),
)

versions = Table(
    "versions",
    metadata,
    Column("service", NAME, ForeignKey("services.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("bundle", String(64), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("created", Float(53), nullable=False),
    ForeignKeyConstraint(["bundle"], ["bundles.id"]),
    Index(None, "bundle"),
)

# The active server process of a database; times are by the database's clock.
lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("token", Integer, nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("address", String, nullable=False),
    Column("process", String, nullable=False),
)

# Owners of names. An identity is an immutable attribute of a Hub user.
people = Table(
    "people",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("identity", String(64), nullable=False),
)

# GPU seconds; each process writes its own total.
usage = Table(
    "usage",
    metadata,
    Column("user", String(255), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("process", String(16), primary_key=True),
    Column("seconds", Float(53), nullable=False),
)

# Changes of traffic in steps.
promotions = Table(
    "promotions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("service", NAME, ForeignKey("services.name"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("document", JSON, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
    Index(None, "service"),
)

# Credentials of services, encrypted. A service can have some before it is published.
credentials = Table(
    "credentials",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("owner", String, nullable=False),
    Column("token", String, nullable=False),
    Column("updated", Float(53), nullable=False),
    Column("updated_by", String(255), nullable=False),
)

# What each version was made from. A bundle that is published again gets a new zip and log; the
# versions that it made earlier keep theirs.
provenance = Table(
    "provenance",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("publisher", String(255), nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("file", String(64), nullable=False),
    Column("log", String(64)),
    Column("accepted", Float(53), nullable=False),
    ForeignKeyConstraint(
        ["service", "number"],
        ["versions.service", "versions.number"],
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
)

# Calls that are kept. ``file`` has the inputs and the result; no two rows have the same file.
call_records = Table(
    "call_records",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("service", NAME, nullable=False),
    Column("version", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("caller", String(320), nullable=False),
    Column("reason", String, nullable=False),
    Column("source", String(16), nullable=False),
    Column("preview", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", String(64), nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("size", Integer, nullable=False),
    Column("file", String(64), nullable=False),
    Column("time", Float(53), nullable=False),
    Column("expires", Float(53)),
    Index("ix_call_records_list", "service", "kind", "time"),
    Index(None, "expires"),
    Index(None, "request_id"),
)

# Comparisons of two versions; ``file`` has the rows of an uploaded table.
comparisons = Table(
    "comparisons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("service", NAME, nullable=False),
    Column("before", Integer, nullable=False),
    Column("after", Integer, nullable=False),
    Column("source", String(16), nullable=False),
    Column("file", String(64)),
    Column("options", JSON, nullable=False),
    Column("made_by", String(320), nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("total", Integer, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("ended", Float(53)),
    Index("ix_comparisons_list", "service", "created"),
    Index(None, "state"),
)

comparison_items = Table(
    "comparison_items",
    metadata,
    Column("comparison", String(32), ForeignKey("comparisons.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("record", String(32)),
    Column("outcome", String(16)),
    Column("result", JSON(none_as_null=True)),
)

# Jobs: calls that outlive their request. ``rank`` orders a lane, lowest first; ``token`` refuses
# writes of an earlier holder; ``raised`` and ``lost`` count against ``attempts`` and ``losses``.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String, nullable=False),
    Column("service", NAME, nullable=False),
    Column("version", String(16), nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("author", String, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("lane", String(63), nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("key", String(200)),
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("raised", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("holder", String(32)),
    Column("worker", String(32)),
    Column("not_before", Float(53), nullable=False),
    Column("timeout", Float(53), nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("input", JSON, nullable=False),
    Column("input_type", String, nullable=False),
    Column("accept", String, nullable=False),
    Column("options", JSON, nullable=False),
    Column("result", String(64)),
    Column("result_type", String, nullable=False),
    Column("result_name", String, nullable=False),
    Column("models", String, nullable=False, server_default=""),
    Column("error", JSON(none_as_null=True)),
    Column("log", String(64)),
    Column("checkpoint", String(64)),
    Column("former_checkpoint", String(64)),
    Column("progress", Float(53), nullable=False),
    Column("progress_text", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("parent", String(26)),
    Column("item", Integer),
    Column("retry_of", String(26)),
    Column("created", Float(53), nullable=False),
    Column("began", Float(53)),
    Column("ended", Float(53)),
    Column("changed", Float(53), nullable=False),
    Column("expires", Float(53)),
    Index("ix_jobs_key", "owner", "service", "key", unique=True),
    Index("ix_jobs_rank", "lane", "state", "rank", "id"),
    Index("ix_jobs_state", "state", "holder"),
    Index("ix_jobs_parent", "parent", "item"),
    Index("ix_jobs_owner", "owner", "created"),
)

# Each run of a job; only added to.
job_attempts = Table(
    "job_attempts",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(32), nullable=False),
    Column("worker", String(32), nullable=False),
    Column("began", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("outcome", String(16), nullable=False),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("time", Float(53), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", JSON, nullable=False),
)

job_files = Table(
    "job_files",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("file", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", String, nullable=False),
    Column("attempt", Integer, nullable=False),
)

job_metrics = Table(
    "job_metrics",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float(53), nullable=False),
    Column("time", Float(53), nullable=False),
)

# The last rank of each owner in a lane, and of the lane (owner ""): start-time fair queueing.
job_lanes = Table(
    "job_lanes",
    metadata,
    Column("lane", String(63), primary_key=True),
    Column("owner", String(255), primary_key=True),
    Column("rank", BigInteger, nullable=False),
)

# Who changed what. Triggers of the migration refuse to change or delete a row.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", Float(53), nullable=False),
    Column("actor", String, nullable=False),
    Column("key", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("details", JSON, nullable=False),
    Index(None, "time"),
)

# When a name became free: events of its earlier owner are not shown to a later one.
released_names = Table(
    "released_names",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("time", Float(53), nullable=False),
)

# The text of a key is not stored, only its SHA-256.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("services", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("note", String, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),
    Column("revoked", Float(53)),
    Column("used", Float(53)),
    Column("changed", Float(53), nullable=False),
    Index(None, "hash", unique=True),
    Index(None, "changed"),
)

service_limits = Table(
    "service_limits",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("limits", JSON, nullable=False),
    Column("changed", Float(53), nullable=False),
)

# The calls of a UTC day, such as ``2026-01-31``. ``key`` is empty for calls without a key.
call_usage = Table(
    "call_usage",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("service", NAME, primary_key=True),
    Column("version", String(16), primary_key=True),
    Column("user", String(255), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("compute_seconds", Float(53), nullable=False),
    Column("gpu_seconds", Float(53), nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
)

# Trained models. A deleted one keeps its row: ``last`` prevents that a number is used again.
models = Table(
    "models",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("owner", String, nullable=False),
    Column("title", String, nullable=False),
    Column("description", String, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("template", String(63)),
    Column("config", JSON(none_as_null=True)),
    Column("access", JSON(none_as_null=True)),
    Column("last", Integer, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
    Column("deleted", Float(53)),
)

# ``key`` is the ID of the job or upload that made the version; ``flavor`` is how to load it.
model_versions = Table(
    "model_versions",
    metadata,
    Column("model", NAME, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", String(64), nullable=False),
    Column("author", String(255), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("job", String(26)),
    Column("format", String(16), nullable=False),
    Column("flavor", JSON, nullable=False),
    Column("files", JSON, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("signature", JSON(none_as_null=True)),
    Column("metrics", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("note", String, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("created", Float(53), nullable=False),
    Index("ix_model_versions_key", "model", "key", unique=True),
    Index("ix_model_versions_job", "job"),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("model", NAME, primary_key=True),
    Column("alias", String(63), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("changed", Float(53), nullable=False),
    Column("changed_by", String(255), nullable=False),
)

# The learning curves of a version.
model_metrics = Table(
    "model_metrics",
    metadata,
    Column("model", NAME, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(200), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float(53), nullable=False),
    Column("time", Float(53), nullable=False),
)

# Which bundles load which versions; ``ref`` is an alias or a number.
model_uses = Table(
    "model_uses",
    metadata,
    Column("bundle", String(64), primary_key=True),
    Column("model", NAME, primary_key=True),
    Column("ref", String(63), primary_key=True),
    Index("ix_model_uses_model", "model"),
)

# Jobs that start at times of a cron expression. ``next`` is the next tick, empty while paused.
schedules = Table(
    "schedules",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String, nullable=False),
    Column("user", String(255), nullable=False),
    Column("service", NAME, nullable=False),
    Column("cron", String(200), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("input", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("overlap", String(16), nullable=False),
    Column("next", Float(53)),
    Column("tick", Float(53)),
    Column("last_job", String(26)),
    Column("runs", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
    Index("ix_schedules_next", "next"),
    Index("ix_schedules_owner", "owner"),
)

# Where the ends of an owner's jobs are sent to: a URL of a program, or an address of mail.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String, nullable=False),
    Column("user", String(255), nullable=False),
    Column("service", NAME, nullable=False),
    Column("url", String, nullable=False),
    Column("events", JSON, nullable=False),
    # Encrypted, as the one before it, which also signs until ``former_until``.
    Column("secret", String, nullable=False),
    Column("former", String, nullable=False),
    Column("former_until", Float(53), nullable=False),
    Column("disabled", String, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
    Index("ix_webhooks_owner", "owner"),
)

# What is sent to webhooks. A row is written in the transaction that ends the job.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("webhook", String(26), nullable=False),
    Column("owner", String, nullable=False),
    Column("job", String(26), nullable=False),
    Column("event", String(32), nullable=False),
    Column("url", String, nullable=False),
    Column("body", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next", Float(53), nullable=False),
    Column("status", Integer),
    Column("error", String, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("ended", Float(53)),
    Index("ix_deliveries_state", "state", "next"),
    Index("ix_deliveries_owner", "owner", "created"),
    Index("ix_deliveries_job", "job"),
)

# What the quality gate found in a bundle, as JSON.
quality_reports = Table(
    "quality_reports",
    metadata,
    Column("bundle", String(64), primary_key=True),
    Column("summary", JSON, nullable=False),
    Column("report", JSON, nullable=False),
    Column("changed", Float(53), nullable=False),
)

# The files that were taken from folders and buckets. ``identity`` tells a file from every other
# one of its source, so that none is taken twice.
storage_items = Table(
    "storage_items",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("identity", String(64), nullable=False),
    Column("path", String, nullable=False),
    Column("place", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("job", String(26)),
    Column("target", String),
    Column("error", JSON(none_as_null=True)),
    Column("created", Float(53), nullable=False),
    Column("ended", Float(53)),
    Index("ix_storage_items_identity", "source", "identity", unique=True),
    Index("ix_storage_items_state", "source", "state", "id"),
)
