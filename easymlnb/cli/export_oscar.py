"""``easymlnb export oscar``: which service and parameter an event uses, and the two files."""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from easymlnb.cli import output
from easymlnb.cli.options import CommandTarget
from easymlnb.exporting.manifests import oscar
from easymlnb.exporting.manifests.text import to_yaml, write_new
from easymlnb.exporting.models import ExportedBundle, Workload

FDL = "service.yaml"
_SUFFIX = re.compile(r"[A-Za-z0-9._-]{0,20}\Z")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class OscarEvent:
    """What an event calls: the service, the parameter for its file, the suffix of the result."""

    service: str
    parameter: str
    suffix: str

    def checked(self, exported: ExportedBundle) -> "OscarEvent":
        """Return the event with the bundle's only service; raises ``ValueError``."""
        names = exported.services
        service = self.service or exported.service.rpartition("/")[2]
        service = service or (names[0] if len(names) == 1 else "")
        if service not in names:
            choice = f"Unknown service {service!r}." if service else "Which service do events call?"
            raise ValueError(f"{choice} Use --service with one of: {', '.join(names)}.")
        if not _PARAMETER.match(self.parameter):
            raise ValueError(
                "Which parameter of the service gets the event's file? Use --parameter NAME."
            )
        if not _SUFFIX.match(self.suffix):
            raise ValueError(f"Invalid --suffix {self.suffix!r}: use a text such as '.json'.")
        return replace(self, service=service)


def write_service(
    exported: ExportedBundle,
    workload: Workload,
    event: OscarEvent,
    cluster: str,
    folder: Path | None,
    target: CommandTarget,
) -> None:
    """Write the FDL and the script to a folder."""
    event = event.checked(exported)
    workload = replace(workload, base_url=oscar.base_url(workload.name))
    fdl = oscar.fdl(workload, cluster)
    script = oscar.script(workload, event.service, event.parameter, event.suffix)
    folder = folder or Path(f"{workload.name}-oscar")
    for name in (FDL, oscar.SCRIPT):
        if (folder / name).exists():
            raise FileExistsError(17, "The file exists already", str(folder / name))
    write_new(folder / FDL, to_yaml([fdl]))
    write_new(folder / oscar.SCRIPT, script, executable=True)
    if target.json:
        output.as_json({"folder": str(folder), "files": [FDL, oscar.SCRIPT]})
        return
    output.line(f"{folder}: {FDL}, {oscar.SCRIPT}")
    output.message(f"Deploy it: cd {shlex.quote(str(folder))} && oscar-cli apply {FDL}")
