"""``easymlnb export kubernetes``, ``knative``, ``kserve`` and ``oscar``."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.export import Source, load
from easymlnb.cli.options import ANY_SERVER, CommandTarget

if TYPE_CHECKING:
    from easymlnb.exporting.models import ExportedBundle, Workload

Canary = Annotated[
    int | None,
    typer.Option(min=0, max=100, help="Percentage of the calls for this version; default: all."),
]


@dataclass(frozen=True, slots=True)
class WorkloadOptions:
    """The options that all manifests share."""

    image: Annotated[str, typer.Option(help="Name of the image in its registry.")]
    name: Annotated[
        str, typer.Option(help="Name in the cluster; default: that of the service.")
    ] = ""
    namespace: Annotated[str, typer.Option(help="Namespace; default: that of kubectl.")] = ""
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this new file.")] = (
        None
    )
    trust_cluster: Annotated[
        bool,
        typer.Option("--trust-cluster", help="Require no token; the cluster authorizes callers."),
    ] = False
    secret: Annotated[
        str, typer.Option(help="Kubernetes secret with the token; default: NAME-token.")
    ] = ""
    credentials: Annotated[
        str, typer.Option(help="Kubernetes secret with the credentials of the code.")
    ] = ""
    cpu: Annotated[str, typer.Option(help="Processors of a replica, such as 500m or 2.")] = "500m"
    memory: Annotated[str, typer.Option(help="Memory of a replica.")] = "2Gi"
    min_replicas: Annotated[int, typer.Option("--min", min=0, help="Smallest number.")] = 1
    max_replicas: Annotated[int, typer.Option("--max", min=1, help="Largest number.")] = 3
    concurrency: Annotated[
        int, typer.Option(min=1, help="Calls that a replica should get at a time.")
    ] = 10
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that a call may take.")] = 300
    drain: Annotated[
        int, typer.Option(min=0, help="Seconds for running calls when a replica stops.")
    ] = 25


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (kubernetes, knative, kserve, oscar):
        app.command()(command)


def with_workload(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to a command, which receives them as ``options``."""
    shared = signature(WorkloadOptions).parameters

    @wraps(command)
    def wrapped(**given: Any) -> None:
        options = WorkloadOptions(**{name: given.pop(name) for name in shared})
        command(options=options, **given)

    own = signature(command).parameters
    kept = [one for name, one in own.items() if name != "options"]
    added = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in shared.values()]
    ordered = sorted([*kept, *added], key=lambda one: one.kind)
    wrapped.__signature__ = signature(command).replace(parameters=ordered)  # type: ignore[attr-defined]
    return wrapped


def workload_of(
    exported: "ExportedBundle", options: WorkloadOptions, *, longest: int = 63
) -> "Workload":
    """Return what runs; raises ``ValueError`` or ``DefinitionError`` for what cannot."""
    from easymlnb.exporting import labels, names
    from easymlnb.exporting.models import Workload

    if options.max_replicas < options.min_replicas:
        raise ValueError(f"--max {options.max_replicas} is less than --min {options.min_replicas}.")
    if options.trust_cluster and options.secret:
        raise ValueError("With --trust-cluster callers need no token. Leave out --secret.")
    given = options.name or names.dns_label(exported.title, longest)
    name = names.check_label(given, limit=longest)
    if options.namespace:
        names.check_label(options.namespace, "namespace")
    gpu = exported.manifest.gpu
    secret = "" if options.trust_cluster else names.check_secret(options.secret or f"{name}-token")
    return Workload(
        name=name,
        image=names.check_image(options.image),
        namespace=options.namespace,
        trust_cluster=options.trust_cluster,
        secret=secret,
        credentials=names.check_secret(options.credentials) if options.credentials else "",
        cpu=names.check_quantity(options.cpu, "--cpu"),
        memory=names.check_quantity(options.memory, "--memory"),
        gpus=0 if gpu == "prefer" else ceil(gpu),
        min_replicas=options.min_replicas,
        max_replicas=options.max_replicas,
        concurrency=options.concurrency,
        timeout=options.timeout,
        drain=options.drain,
        labels=labels.object_labels(exported, name),
        annotations=labels.object_annotations(exported),
    )


@ANY_SERVER
@with_workload
def kubernetes(target: CommandTarget, source: Source, options: WorkloadOptions) -> None:
    """Write a Deployment, a Service and an autoscaler."""
    from easymlnb.exporting.manifests.kubernetes import objects

    workload = workload_of(load(source, target), options)
    if not workload.min_replicas:
        raise ValueError(
            "Kubernetes alone cannot scale to zero. Use --min 1, or export knative or kserve."
        )
    _write(objects(workload), workload, options.file, target)


@ANY_SERVER
@with_workload
def knative(
    target: CommandTarget,
    source: Source,
    options: WorkloadOptions,
    canary: Canary = None,
    previous: Annotated[
        str, typer.Option(help="Revision that gets the other calls, with --canary.")
    ] = "",
) -> None:
    """Write a Knative Service, which scales to zero with --min 0."""
    from easymlnb.exporting.manifests.knative import service
    from easymlnb.exporting.names import check_label

    if (canary is None) != (not previous):
        raise ValueError(
            "--canary and --previous belong together: the previous revision gets the other calls. "
            "'kubectl get revisions' lists the names."
        )
    if previous:
        check_label(previous, "revision")
    workload = workload_of(load(source, target), options)
    _write([service(workload, canary, previous)], workload, options.file, target)


@ANY_SERVER
@with_workload
def kserve(
    target: CommandTarget,
    source: Source,
    options: WorkloadOptions,
    mode: Annotated[
        str, typer.Option(help="KServe's deployment mode: Standard or Knative.")
    ] = "Standard",
    canary: Canary = None,
) -> None:
    """Write a KServe InferenceService."""
    from easymlnb.exporting.manifests import kserve as manifest

    if mode not in manifest.MODES:
        raise ValueError(f"Unknown mode {mode!r}. Use one of: {', '.join(manifest.MODES)}.")
    if mode == manifest.STANDARD and canary is not None:
        raise ValueError(
            "KServe divides calls only in its Knative mode. Add --mode Knative, or leave out "
            "--canary."
        )
    if mode == manifest.STANDARD and not options.min_replicas:
        raise ValueError("KServe scales to zero only in its Knative mode. Add --mode Knative.")
    workload = workload_of(load(source, target), options, longest=manifest.MAX_NAME)
    document = manifest.inference_service(workload, mode, canary)
    _write([document], workload, options.file, target)


@ANY_SERVER
@with_workload
def oscar(
    target: CommandTarget,
    source: Source,
    options: WorkloadOptions,
    cluster: Annotated[
        str, typer.Option(help="The cluster's name in oscar-cli.")
    ] = "oscar-cluster",
    service: Annotated[
        str, typer.Option(help="The service that events call; default: the only one.")
    ] = "",
    parameter: Annotated[str, typer.Option(help="The parameter that gets the event's file.")] = "",
    suffix: Annotated[
        str, typer.Option(help="Appended to the names of results, such as .json.")
    ] = ".json",
) -> None:
    """Write the FDL and the script of an OSCAR service; --output is a folder."""
    from easymlnb.cli.export_oscar import OscarEvent, write_service

    if not options.trust_cluster:
        raise ValueError(
            "OSCAR checks callers itself and sends no token to the service. Add --trust-cluster."
        )
    if options.credentials or options.namespace:
        raise ValueError("OSCAR has no --credentials and no --namespace. Leave them out.")
    exported = load(source, target)
    workload = workload_of(exported, options)
    event = OscarEvent(service, parameter, suffix)
    write_service(exported, workload, event, cluster, options.file, target)


def _write(
    documents: "Sequence[dict[str, Any]]",
    workload: "Workload",
    file: Path | None,
    target: CommandTarget,
) -> None:
    """Write or print a manifest, and say which secrets it needs."""
    from easymlnb.exporting.manifests.text import to_yaml, write_new

    if target.json:
        output.as_json(documents)
        return
    text = to_yaml(documents)
    if file is None:
        typer.echo(text, nl=False)
    else:
        write_new(file, text)
        output.message(f"Wrote {file}. Apply it: kubectl apply -f {shlex.quote(str(file))}")
    show_secrets(workload)


def show_secrets(workload: "Workload") -> None:
    """Print how to create the secrets that a manifest names."""
    where = f" --namespace {workload.namespace}" if workload.namespace else ""
    if workload.secret:
        output.message(
            f"Create the secret with the callers' token first: kubectl create secret generic "
            f'{workload.secret}{where} --from-literal=token="$(openssl rand -hex 24)"'
        )
    else:
        output.message(
            "Callers need no token. Make sure that only the right ones can reach the service."
        )
    if workload.credentials:
        output.message(
            f"Create the secret with the code's credentials: kubectl create secret generic "
            f"{workload.credentials}{where} --from-file=NAME=FILE"
        )
