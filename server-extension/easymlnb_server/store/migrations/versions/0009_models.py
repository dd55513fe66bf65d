"""Trained models: versions, aliases, metrics, and which bundles use them."""

import sqlalchemy as sa
from alembic import op

revision = "0009_models"
down_revision = "0008_jobnodes"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("name", NAME, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("template", sa.String(63)),
        sa.Column("config", sa.JSON),
        sa.Column("access", sa.JSON),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.Column("deleted", sa.Float(53)),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    _versions()
    op.create_table(
        "model_aliases",
        sa.Column("model", NAME, nullable=False),
        sa.Column("alias", sa.String(63), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.Column("changed_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("model", "alias", name="pk_model_aliases"),
    )
    op.create_table(
        "model_metrics",
        sa.Column("model", NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", "name", "step", name="pk_model_metrics"),
    )
    op.create_table(
        "model_uses",
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("model", NAME, nullable=False),
        sa.Column("ref", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("bundle", "model", "ref", name="pk_model_uses"),
    )
    op.create_index("ix_model_uses_model", "model_uses", ["model"])


def _versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model", NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("job", sa.String(26)),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("flavor", sa.JSON, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.JSON),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_model_versions"),
    )
    op.create_index("ix_model_versions_key", "model_versions", ["model", "key"], unique=True)
    op.create_index("ix_model_versions_job", "model_versions", ["job"])
