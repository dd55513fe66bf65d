"""Rows of models, their versions, aliases and metrics."""

import time
from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, delete, select, update

from easymlnb.contract.errors import (
    AliasChanged,
    AliasNotFound,
    ModelInUse,
    ModelQuota,
    ModelVersionNotFound,
)
from easymlnb_server.store import model_rows
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.model_records import (
    AliasRow,
    MetricPoint,
    ModelOverview,
    ModelRow,
    ModelUse,
    ModelVersionRow,
    NewVersion,
)
from easymlnb_server.store.tables import (
    bundles,
    model_aliases,
    model_metrics,
    model_uses,
    model_versions,
    models,
)

LATEST = "latest"
"""In place of an alias: the version with the highest number."""

ANY = object()
"""In place of the version that an alias must have: it does not matter."""


class ModelRows(Repository):
    """Reads and writes models. Methods block: call them in a thread."""

    @writing
    def create(self, connection: Connection, model: ModelRow) -> ModelRow:
        """Add a model; raises ``NameTaken``."""
        return model_rows.create_model(connection, model)

    @reading
    def get(self, connection: Connection, name: str) -> ModelOverview:
        """Return a model; raises ``ModelNotFound``."""
        model = model_rows.get_model(connection, name)
        aliases = model_rows.aliases_of(connection, name)
        return ModelOverview(
            model,
            {alias: row.number for alias, row in aliases.items()},
            model_rows.numbers_of(connection, name),
        )

    @reading
    def all(self, connection: Connection) -> list[ModelOverview]:
        """Return all models by name."""
        aliases: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for row in connection.execute(select(model_aliases).order_by(model_aliases.c.alias)):
            aliases[row.model][row.alias] = row.number
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        query = select(model_versions.c.model, model_versions.c.number)
        for row in connection.execute(query.order_by(model_versions.c.number)):
            numbers[row.model].append(row.number)
        present = select(models).where(models.c.deleted.is_(None)).order_by(models.c.name)
        return [
            ModelOverview(model_rows.model_of(row), aliases[row.name], tuple(numbers[row.name]))
            for row in connection.execute(present).all()
        ]

    @writing
    def change(self, connection: Connection, name: str, changes: dict[str, Any]) -> None:
        """Change columns of a model; raises ``ModelNotFound``."""
        model_rows.lock_model(connection, name)
        values = changes | {"changed": time.time()}
        connection.execute(update(models).where(models.c.name == name).values(**values))

    @writing
    def remove(self, connection: Connection, name: str) -> None:
        """Delete a model with its versions; raises ``ModelNotFound`` or ``ModelInUse``."""
        model_rows.lock_model(connection, name)
        _check_unused(connection, name, f"The model {name!r}")
        model_rows.delete_model(connection, name)

    # versions

    @writing
    def add_version(
        self, connection: Connection, model: str, owner: str, new: NewVersion, quota: int = 0
    ) -> int:
        """Add a version, see ``model_rows.register_version``; return its number.

        Raises ``ModelQuota`` if the models of the owner would have more than ``quota`` bytes.
        """
        size = sum(file.size for file in new.files)
        if quota and model_rows.count_bytes(connection, owner) + size > quota:
            raise ModelQuota(quota)
        return model_rows.register_version(connection, model, owner, new)

    @reading
    def versions(self, connection: Connection, model: str) -> list[ModelVersionRow]:
        """Return the versions of a model, newest first; raises ``ModelNotFound``."""
        model_rows.get_model(connection, model)
        query = select(model_versions).where(model_versions.c.model == model)
        found = connection.execute(query.order_by(model_versions.c.number.desc())).all()
        return [model_rows.version_of(row) for row in found]

    @reading
    def version(self, connection: Connection, model: str, ref: str) -> ModelVersionRow:
        """Return the version with a number or alias.

        Raises ``ModelNotFound`` or ``ModelVersionNotFound``.
        """
        model_rows.get_model(connection, model)
        number = _resolve(connection, model, ref)
        row = connection.execute(
            select(model_versions).where(model_rows.is_version(model, number))
        ).one_or_none()
        if row is None:
            raise _no_version(connection, model, ref)
        return model_rows.version_of(row)

    @reading
    def of_job(self, connection: Connection, job: str) -> list[tuple[str, int]]:
        """Return the model versions that a job made, as names and numbers."""
        query = select(model_versions.c.model, model_versions.c.number)
        found = connection.execute(query.where(model_versions.c.job == job)).all()
        return [(row.model, row.number) for row in found]

    @writing
    def change_version(
        self, connection: Connection, model: str, number: int, changes: dict[str, Any]
    ) -> None:
        """Change the tags, note or trust of a version; raises ``ModelVersionNotFound``."""
        model_rows.lock_model(connection, model)
        statement = update(model_versions).where(model_rows.is_version(model, number))
        if not connection.execute(statement.values(**changes)).rowcount:
            raise _no_version(connection, model, str(number))

    @writing
    def remove_version(self, connection: Connection, model: str, number: int) -> None:
        """Delete a version; its number is not used again.

        Raises ``ModelNotFound``, ``ModelVersionNotFound`` or ``ModelInUse``.
        """
        model_rows.lock_model(connection, model)
        numbers = model_rows.numbers_of(connection, model)
        if number not in numbers:
            raise _no_version(connection, model, str(number))
        aliases = model_rows.aliases_of(connection, model)
        what = f"Version {number} of {model!r}"
        _check_unused(connection, model, what, [str(number)])
        if names := [alias for alias, row in aliases.items() if row.number == number]:
            raise ModelInUse(
                f"{what} is {' and '.join(names)}. Move the alias to another version first.",
                details={"aliases": names},
            )
        if number == numbers[-1]:
            _check_unused(connection, model, what, [LATEST])
        model_rows.delete_version(connection, model, number)

    @reading
    def metrics(self, connection: Connection, model: str, number: int) -> list[MetricPoint]:
        """Return the learning curves of a version, by name and step."""
        own = (model_metrics.c.model == model) & (model_metrics.c.number == number)
        query = select(model_metrics).where(own)
        found = connection.execute(query.order_by(model_metrics.c.name, model_metrics.c.step))
        return [MetricPoint(row.name, row.step, row.value, row.time) for row in found]

    # aliases

    @reading
    def aliases(self, connection: Connection, model: str) -> dict[str, AliasRow]:
        """Return the aliases of a model by name."""
        return model_rows.aliases_of(connection, model)

    def set_alias(
        self, model: str, alias: str, number: int, by: str, expected: object = ANY
    ) -> AliasRow:
        """Let an alias name a version; return the alias.

        ``expected`` is the version that it must name now, ``None`` for none. Raises
        ``AliasChanged`` with the present one, ``ModelNotFound`` or ``ModelVersionNotFound``.
        """
        written: list[int] = []

        def work(connection: Connection) -> AliasRow:
            model_rows.lock_model(connection, model)
            present = model_rows.aliases_of(connection, model).get(alias)
            if number not in model_rows.numbers_of(connection, model):
                raise _no_version(connection, model, str(number))
            if present is not None and present.token in written:
                return present  # committed by an earlier try
            _check_expected(alias, present, expected)
            token = 1 if present is None else present.token + 1
            written.append(token)
            values = {"number": number, "token": token, "changed": time.time(), "changed_by": by}
            upsert(connection, model_aliases, {"model": model, "alias": alias}, values)
            return model_rows.aliases_of(connection, model)[alias]

        return self._database.write(work)

    @writing
    def remove_alias(
        self, connection: Connection, model: str, alias: str, expected: object = ANY
    ) -> None:
        """Remove an alias; see ``set_alias``. Raises ``AliasNotFound`` or ``ModelInUse``."""
        model_rows.lock_model(connection, model)
        present = model_rows.aliases_of(connection, model).get(alias)
        if present is None:
            raise AliasNotFound(model, alias)
        _check_expected(alias, present, expected)
        _check_unused(connection, model, f"The alias {alias!r} of {model!r}", [alias])
        own = (model_aliases.c.model == model) & (model_aliases.c.alias == alias)
        connection.execute(delete(model_aliases).where(own))

    # uses and files

    @writing
    def note_use(self, connection: Connection, bundle: str, model: str, ref: str) -> None:
        """Note that a bundle loads a model as ``ref``, an alias or a number."""
        model_rows.note_use(connection, bundle, model, ref)

    @reading
    def uses(self, connection: Connection, model: str) -> list[ModelUse]:
        """Return the versions of services that load a model."""
        return model_rows.uses_of(connection, model)

    @writing
    def forget_uses(self, connection: Connection) -> None:
        """Delete the uses by bundles that were removed."""
        gone = model_uses.c.bundle.not_in(select(bundles.c.id))
        connection.execute(delete(model_uses).where(gone))

    @reading
    def files(self, connection: Connection) -> set[str]:
        """Return the names of all files that a version needs."""
        found = connection.execute(select(model_versions.c.files)).scalars()
        return {file["sha256"] for files in found for file in files}


def _resolve(connection: Connection, model: str, ref: str) -> int:
    if ref.isascii() and ref.isdigit():
        return int(ref[:9])
    if ref == LATEST:
        numbers = model_rows.numbers_of(connection, model)
        return numbers[-1] if numbers else 0
    row = model_rows.aliases_of(connection, model).get(ref)
    return row.number if row is not None else 0


def _no_version(connection: Connection, model: str, ref: str) -> ModelVersionNotFound:
    numbers = model_rows.numbers_of(connection, model)
    return ModelVersionNotFound(model, ref, numbers, model_rows.aliases_of(connection, model))


def _check_expected(alias: str, present: AliasRow | None, expected: object) -> None:
    number = present.number if present is not None else None
    if expected is not ANY and expected != number:
        raise AliasChanged(alias, number)


def _check_unused(
    connection: Connection, model: str, what: str, refs: list[str] | None = None
) -> None:
    uses = model_rows.uses_of(connection, model, refs)
    if uses:
        users = sorted({f"{use.service} version {use.version}" for use in uses})
        raise ModelInUse(
            f"{what} is used by {', '.join(users)}. Remove these versions first, or let them use "
            "another model.",
            details={"services": [[use.service, use.version, use.ref] for use in uses]},
        )
