"""The tables of batches, which belong to jobs."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table

from easymlnb_server.store.tables import metadata

# How far the table of a batch was read. These rows end with their jobs.
batches = Table(
    "batches",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("header", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("share", Float(53), nullable=False),
)

batch_blocks = Table(
    "batch_blocks",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("file", String(64), nullable=False),
)

# Results of rows of a block, from ``start`` up to ``stop``.
batch_parts = Table(
    "batch_parts",
    metadata,
    Column("job", String(26), primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("stop", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("file", String(64), nullable=False),
)
