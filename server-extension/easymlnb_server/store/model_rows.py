"""Statements on the tables of models, inside a transaction."""

import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from easymlnb.contract.errors import ModelNotFound, NameTaken
from easymlnb_server.identity.names import qualified_name, short_name
from easymlnb_server.store.database import insert_new
from easymlnb_server.store.model_records import (
    AliasRow,
    ModelFile,
    ModelRow,
    ModelUse,
    ModelVersionRow,
    NewVersion,
)
from easymlnb_server.store.tables import (
    model_aliases,
    model_metrics,
    model_uses,
    model_versions,
    models,
    services,
    versions,
)

_MODEL_FIELDS = tuple(field.name for field in fields(ModelRow))
_OF_MODEL = (model_versions, model_aliases, model_metrics)


def register_version(connection: Connection, model: str, owner: str, new: NewVersion) -> int:
    """Add a version to a model, and the model if there is none; return the version's number.

    It can be part of any writing transaction, also of one that takes no lock: the row of the model
    is locked. A version with the same key exists already if the transaction is retried.
    """
    now = time.time()
    row = lock_model(connection, model, create=owner)
    same = (model_versions.c.model == model) & (model_versions.c.key == new.key)
    known = connection.execute(select(model_versions.c.number).where(same)).scalar()
    if known is not None:
        return int(known)
    number = row.last + 1
    values = asdict(new)
    curves = values.pop("curves")
    values |= {"model": model, "number": number, "created": now}
    values["files"] = [asdict(file) for file in new.files]
    values["size"] = sum(file.size for file in new.files)
    connection.execute(insert(model_versions).values(**values))
    points = {(point["name"], point["step"]): point for point in curves}
    if points:
        of_version = {"model": model, "number": number}
        connection.execute(insert(model_metrics), [of_version | one for one in points.values()])
    changed = {"last": number, "changed": now}
    connection.execute(update(models).where(models.c.name == model).values(**changed))
    return number


def lock_model(connection: Connection, name: str, *, create: str = "") -> ModelRow:
    """Lock the row of a model and return it; ``create`` adds it with this owner if it is missing.

    Raises ``ModelNotFound`` without ``create``.
    """
    now = time.time()
    if create:
        values = _values(ModelRow(name=name, owner=create, created=now, changed=now))
        insert_new(connection, models, values)
    query = select(models).where(models.c.name == name).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or (row.deleted is not None and not create):
        raise ModelNotFound(name)
    if row.deleted is not None:
        values = {"last": row.last, "deleted": None}
        values = _values(ModelRow(name=name, owner=create, created=now, changed=now)) | values
        connection.execute(update(models).where(models.c.name == name).values(**values))
        row = connection.execute(select(models).where(models.c.name == name)).one()
    return model_of(row)


def create_model(connection: Connection, model: ModelRow) -> ModelRow:
    """Add a model, as created now; raises ``NameTaken``."""
    query = select(models).where(models.c.name == model.name).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is not None and row.deleted is None:
        raise NameTaken(f"There is a model named {model.name!r} already.")
    now = time.time()
    values = _values(model) | {"deleted": None, "created": now, "changed": now}
    if row is None:
        connection.execute(insert(models).values(**values))
    else:
        values["last"] = row.last
        connection.execute(update(models).where(models.c.name == model.name).values(**values))
    return get_model(connection, model.name)


def get_model(connection: Connection, name: str) -> ModelRow:
    """Return a model; raises ``ModelNotFound``."""
    own = (models.c.name == name) & models.c.deleted.is_(None)
    row = connection.execute(select(models).where(own)).one_or_none()
    if row is None:
        raise ModelNotFound(name)
    return model_of(row)


def aliases_of(connection: Connection, model: str) -> dict[str, AliasRow]:
    """Return the aliases of a model by name."""
    query = select(model_aliases).where(model_aliases.c.model == model)
    found = connection.execute(query.order_by(model_aliases.c.alias))
    return {row.alias: alias_of(row) for row in found}


def numbers_of(connection: Connection, model: str) -> tuple[int, ...]:
    """Return the numbers of a model's versions, oldest first."""
    query = select(model_versions.c.number).where(model_versions.c.model == model)
    return tuple(connection.execute(query.order_by(model_versions.c.number)).scalars())


def uses_of(
    connection: Connection, model: str, refs: Iterable[str] | None = None
) -> list[ModelUse]:
    """Return the versions of services that load a model, or some of its versions."""
    query = (
        select(versions.c.service, versions.c.number, model_uses.c.ref)
        .join(model_uses, model_uses.c.bundle == versions.c.bundle)
        .join(services, services.c.name == versions.c.service)
        .where(model_uses.c.model == model, services.c.deleted.is_(None))
    )
    if refs is not None:
        query = query.where(model_uses.c.ref.in_(list(refs)))
    found = connection.execute(query.order_by(versions.c.service, versions.c.number)).all()
    return [ModelUse(row.service, row.number, row.ref) for row in found]


def delete_model(connection: Connection, name: str) -> None:
    """Delete what belongs to a model; its row stays with the last number."""
    for table in _OF_MODEL:
        connection.execute(delete(table).where(table.c.model == name))
    connection.execute(delete(model_uses).where(model_uses.c.model == name))
    now = time.time()
    cleared = _values(ModelRow(name=name, owner="", changed=now)) | {"deleted": now}
    for kept in ("name", "owner", "last", "created"):
        del cleared[kept]
    connection.execute(update(models).where(models.c.name == name).values(**cleared))


def delete_version(connection: Connection, model: str, number: int) -> None:
    """Delete a version and its metrics; its number stays used."""
    for table in (model_versions, model_metrics):
        own = (table.c.model == model) & (table.c.number == number)
        connection.execute(delete(table).where(own))


def move_models(connection: Connection, old: str, new: str) -> None:
    """Give all models of an owner to another, under new names; raises ``NameTaken``."""
    own = (models.c.owner == old) & models.c.deleted.is_(None)
    for row in connection.execute(select(models).where(own)).all():
        name = qualified_name(new, short_name(row.name))
        _move(connection, row, name, new)


def remove_models(connection: Connection, owner: str) -> None:
    """Delete all models of an owner."""
    for name in connection.execute(select(models.c.name).where(models.c.owner == owner)).scalars():
        delete_model(connection, name)


def move_bundle(connection: Connection, old: str, new: str) -> None:
    """Note under its new id what a bundle uses."""
    for row in connection.execute(select(model_uses).where(model_uses.c.bundle == old)).all():
        note_use(connection, new, row.model, row.ref)


def note_use(connection: Connection, bundle: str, model: str, ref: str) -> None:
    """Note that a bundle loads a model."""
    key = {"bundle": bundle, "model": model, "ref": ref}
    matches = [model_uses.c[column] == value for column, value in key.items()]
    if connection.execute(select(model_uses).where(*matches)).first() is None:
        connection.execute(insert(model_uses).values(**key))


def is_version(model: str, number: int) -> ColumnElement[bool]:
    """Return the condition that a row of the versions is this one."""
    return (model_versions.c.model == model) & (model_versions.c.number == number)


def model_of(row: Row[Any]) -> ModelRow:
    """Return the record of a row of the models."""
    return ModelRow(**{name: getattr(row, name) for name in _MODEL_FIELDS})


def version_of(row: Row[Any]) -> ModelVersionRow:
    """Return the record of a row of the versions."""
    values = dict(row._mapping)
    values["files"] = tuple(ModelFile(**file) for file in row.files)
    return ModelVersionRow(**values)


def alias_of(row: Row[Any]) -> AliasRow:
    """Return the record of a row of the aliases."""
    return AliasRow(row.alias, row.number, row.token, row.changed, row.changed_by)


def _values(model: ModelRow) -> dict[str, Any]:
    return asdict(model)


def _move(connection: Connection, row: Row[Any], name: str, owner: str) -> None:
    taken = connection.execute(select(models).where(models.c.name == name)).one_or_none()
    if taken is not None and taken.deleted is None:
        raise NameTaken(f"A model named {name!r} already exists. Delete it first.")
    last = max(row.last, taken.last if taken is not None else 0)
    values = {**row._mapping, "name": name, "owner": owner, "last": last, "changed": time.time()}
    connection.execute(delete(models).where(models.c.name == name))
    connection.execute(insert(models).values(**values))
    for table in (*_OF_MODEL, model_uses):
        connection.execute(update(table).where(table.c.model == row.name).values(model=name))
    delete_model(connection, row.name)


def count_bytes(connection: Connection, owner: str) -> int:
    """Return the bytes of all versions of an owner's models."""
    query = (
        select(func.coalesce(func.sum(model_versions.c.size), 0))
        .join(models, models.c.name == model_versions.c.model)
        .where(models.c.owner == owner)
    )
    return int(connection.scalar(query) or 0)
