"""Manifests as YAML."""

from collections.abc import Sequence
from pathlib import Path

from easymlnb.contract import installation
from easymlnb.exporting.manifests.pod import Values


def to_yaml(documents: Sequence[Values]) -> str:
    """Return the YAML of some objects; raises ``ImportError`` without PyYAML."""
    installation.require("Writing manifests", "yaml")
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes equal parts in full, not as references."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    return yaml.dump_all(documents, Dumper=Plain, sort_keys=False, allow_unicode=True)


def write_new(file: Path, text: str, *, executable: bool = False) -> None:
    """Write a file that must not exist yet; raises ``FileExistsError``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
    if executable:
        file.chmod(0o755)
