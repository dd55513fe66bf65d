"""Write the version that a job has made, inside the transaction that ends the job."""

from sqlalchemy import Connection, select

from easymlnb.contract.training import DESCRIPTION_FILE, TrainedModel
from easymlnb_server.jobs.models import Job
from easymlnb_server.store.model_records import MetricPoint, ModelFile, NewVersion
from easymlnb_server.store.model_rows import register_version
from easymlnb_server.store.tables import job_files, job_metrics


def description_file(connection: Connection, job: str) -> str:
    """Return the stored file with the description of the model that a job has trained."""
    query = select(job_files.c.file).where(
        job_files.c.job == job, job_files.c.label == DESCRIPTION_FILE
    )
    return str(connection.execute(query).scalar_one())


def add_version(connection: Connection, job: Job, described: TrainedModel) -> tuple[str, int]:
    """Add a version to the model that a job has trained; return its name and number."""
    found = connection.execute(select(job_metrics).where(job_metrics.c.job == job.id))
    curves = tuple(MetricPoint(row.name, row.step, row.value, row.time) for row in found)
    name = model_name(job.service, described.model)
    return name, register_version(connection, name, job.author, _version(job, described, curves))


def model_name(service: str, model: str) -> str:
    """Return the name of a model that a service trains; both have the same owner."""
    owner, slash, _ = service.rpartition("/")
    return f"{owner}{slash}{model}"


def _version(job: Job, described: TrainedModel, curves: tuple[MetricPoint, ...]) -> NewVersion:
    return NewVersion(
        key=job.id,
        author=job.author,
        origin="job",
        job=job.id,
        format=described.format,
        flavor=described.flavor,
        files=tuple(ModelFile(file.path, file.sha256, file.size) for file in described.files),
        signature=described.signature,
        metrics=described.metrics,
        params=described.params,
        tags=described.tags,
        lineage={
            "job": job.id,
            "service": job.service,
            "version": job.version,
            "bundle": job.bundle,
            "user": job.options.user,
            "data": list(described.data),
        },
        note=described.note,
        curves=curves,
    )
