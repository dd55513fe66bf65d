"""Write a version to a zip: as a folder of MLflow, or as an RO-Crate."""

import shutil
import tempfile
import zipfile
from typing import IO, Literal

from easymlnb_server.model_registry import crate, mlflow_folder
from easymlnb_server.store.files import Files
from easymlnb_server.store.model_records import ModelRow, ModelVersionRow

Form = Literal["mlflow", "crate"]
FORMS: tuple[Form, ...] = ("mlflow", "crate")


def write(
    form: Form, model: ModelRow, version: ModelVersionRow, files: Files, url: str
) -> IO[bytes]:
    """Return the open zip of a version; blocks. ``url`` is that of the version.

    Raises ``ModelNotExportable`` or ``StorageDamaged``.
    """
    if form == "mlflow":
        extra = mlflow_folder.extra_files(version)
    else:
        extra = crate.extra_files(model, version, url)
    target = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path, data in extra.items():
                archive.writestr(path, data)
            for file in version.files:
                large = file.size > 2**31 - 1
                with (
                    files.open(file.sha256) as source,
                    archive.open(file.path, "w", force_zip64=large) as copy,
                ):
                    shutil.copyfileobj(source, copy, 2**20)
        target.seek(0)
        return target
    except BaseException:
        target.close()
        raise
