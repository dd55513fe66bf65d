"""Check the description of a service: types, examples, and metadata for catalogs."""

from collections.abc import Iterable, Iterator

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from easymlnb.contract import ai4os
from easymlnb.contract.jsonschema import HINTS, alternatives, properties, resolve
from easymlnb.contract.metadata import Metadata
from easymlnb.contract.quality import Finding, Severity
from easymlnb.publishing.gate.described import Described

SCHEMA = f"AI4OS metadata v{ai4os.VERSION}"
TYPED = ("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", HINTS)
"""Keywords that restrict a value."""


def run(services: Iterable[Described]) -> list[Finding]:
    """Return the findings about the services."""
    return [finding for one in services for finding in _Checker(one).findings()]


class _Checker:
    """The checks of one service."""

    def __init__(self, described: Described) -> None:
        self._described = described
        self._spec = described.spec
        self._about = described.spec.metadata or Metadata()

    def findings(self) -> Iterator[Finding]:
        yield from self._examples()
        yield from self._schema()
        yield from self._required()
        yield from self._license()
        for field, known in (("libraries", ai4os.LIBRARIES), ("tasks", ai4os.TASKS)):
            yield from self._vocabulary(field, known)

    def _examples(self) -> Iterator[Finding]:
        if self._spec.examples or "examples" in self._described.unknown:
            return
        yield self._finding(
            "examples",
            "missing",
            "warning",
            "The service has no examples. Add examples=[{...}]: they are run before a version "
            "serves, fill the form, and document the service.",
        )

    def _schema(self) -> Iterator[Finding]:
        untyped = list(self._described.untyped)
        if "input" not in self._described.unknown:
            fields = properties(self._spec.input)
            untyped += [
                name for name, one in fields.items() if not _is_typed(one, self._spec.input)
            ]
            untyped += [] if _is_typed(self._spec.output, self._spec.output) else ["return"]
        for name in untyped:
            what = "The result" if name == "return" else f"The parameter {name!r}"
            yield self._finding(
                "schema",
                "untyped",
                "warning",
                f"{what} has no type, so any value is accepted and the form has a text field. Add "
                "a type hint.",
            )

    def _required(self) -> Iterator[Finding]:
        """Check the fields that AI4OS requires, and those that catalogs show."""
        about, spec = self._about, self._spec
        shown, required = "Catalogs show this.", f"{SCHEMA} requires this."
        wanted: tuple[tuple[str, object, Severity, str, str], ...] = (
            ("description", spec.description, "warning", required, "Write a docstring."),
            ("source", about.source, "warning", required, "Set metadata={'source': URL}."),
            ("license", spec.license, "warning", shown, "Set license='CC-BY-4.0', or another."),
            ("author", spec.author, "info", shown, "Set author='Name, institute'."),
            ("tags", spec.tags, "info", shown, "Set tags=['...']."),
        )
        for field, value, severity, text, advice in wanted:
            option = "metadata" if field == "source" else field
            if not value and option not in self._described.unknown:
                name = "links.source_code" if field == "source" else field
                message = f"Missing: {name}. {text} {advice}"
                yield self._finding("metadata", field, severity, message)

    def _license(self) -> Iterator[Finding]:
        try:
            if self._spec.license:
                canonicalize_license_expression(self._spec.license)
        except InvalidLicenseExpression:
            yield self._finding(
                "metadata",
                "license-name",
                "info",
                f"The license {self._spec.license[:80]!r} is not an SPDX name such as 'CC-BY-4.0', "
                "so catalogs cannot search for it.",
            )

    def _vocabulary(self, field: str, known: tuple[str, ...]) -> Iterator[Finding]:
        for name in getattr(self._about, field):
            if ai4os.listed([name], known) == [ai4os.OTHER] and name != ai4os.OTHER:
                yield self._finding(
                    "metadata",
                    field,
                    "info",
                    f"{name[:60]!r} is not among the {field} of {SCHEMA}, where it becomes "
                    f"'{ai4os.OTHER}'. Known: {', '.join(known)}.",
                )

    def _finding(self, check: str, code: str, severity: Severity, message: str) -> Finding:
        return Finding(
            check=check,
            code=code,
            severity=severity,
            message=message,
            service=self._spec.name,
            **self._described.place,
        )


def _is_typed(schema: object, root: dict[str, object]) -> bool:
    if not isinstance(schema, dict):
        return schema is False
    resolved = resolve(schema, root)
    if any(word in resolved for word in TYPED):
        return True
    return any(any(word in one for word in TYPED) for one in alternatives(schema, root))
