"""A version of a model appears with the success of the job that trained it, and only then."""

import hashlib
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import EasyMLNBError, ResultNotEncodable, WorkerLost
from easymlnb.contract.training import DESCRIPTION_FILE, TrainedFile, TrainedModel
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import TRAIN, Job, JobOptions, JobState, MetricValue, StoredFile
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.store import Store
from easymlnb_server.training.repository import TrainedModels

from .test_rules import BOOM, make_job

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
DESCRIBED = TrainedModel(
    model="forest",
    format="skops",
    flavor={"main": "model.skops"},
    files=(TrainedFile(path="model.skops", label="model/model.skops", sha256=DIGEST, size=7),),
    metrics={"mae": 1.5},
    params={"trees": 10},
    data=({"name": "data", "rows": 40},),
)


class Training:
    """A running job that trains, with the files that it has saved."""

    def __init__(self, store: Store, service: str = "fit") -> None:
        self.store = store
        self.trained = TrainedModels(lambda: store.files)
        self.repository = JobRepository(store.database, [self.trained.register])
        made = make_job(kind=TRAIN, service=service, options=JobOptions(user="ann"))
        added = self.repository.add(made)
        (claimed,) = self.repository.claim("jobs", "me", 1, 100.0)
        begun = self.repository.apply(claimed, rules.begin(claimed, "worker", 101.0))
        assert begun is not None and begun.id == added.id
        self.job = begun

    def save(self, label: str, content: bytes) -> None:
        name = self.store.files.put(content)
        file = StoredFile(label, name, len(content), "", 1)
        assert self.repository.save_file(self.job, file)

    def describe(self, **changes: Any) -> None:
        described = msgspec.structs.replace(DESCRIBED, **changes)
        self.save(DESCRIPTION_FILE, msgspec.json.encode(described))

    def check(self) -> EasyMLNBError | None:
        return self.trained.check(self.job, self.repository.files(self.job.id))

    def end(self, change: rules.Change) -> Job | None:
        return self.repository.apply(self.job, change)


@pytest.fixture
def training(store: Store) -> Training:
    return Training(store)


def test_success_adds_a_version_with_its_curves_and_lineage(training: Training) -> None:
    training.save("model/model.skops", CONTENT)
    training.describe()
    curve = [MetricValue("loss", step, 1.0 / (step + 1), 100.0 + step) for step in range(3)]
    training.repository.save_metrics(training.job, curve)
    assert training.check() is None
    ended = training.end(rules.succeed(training.job, {"result": None}, 110.0))
    assert ended is not None and ended.state is JobState.SUCCEEDED
    models = training.store.models
    assert models.of_job(ended.id) == [("forest", 1)]
    version = models.version("forest", "1")
    assert version.metrics == {"mae": 1.5} and version.params == {"trees": 10}
    assert [(file.path, file.sha256) for file in version.files] == [("model.skops", DIGEST)]
    assert version.lineage["service"] == "fit" and version.lineage["user"] == "ann"
    assert version.lineage["data"] == [{"name": "data", "rows": 40}]
    assert [point.value for point in models.metrics("forest", 1)] == [1.0, 1 / 2, 1 / 3]
    # The change is written again after a lost connection: there is still one version.
    assert training.end(rules.succeed(training.job, {"result": None}, 110.0)) is not None
    assert len(models.versions("forest")) == 1


def test_the_model_belongs_to_the_owner_of_the_service(store: Store) -> None:
    training = Training(store, service="ann/fit")
    training.save("model/model.skops", CONTENT)
    training.describe()
    training.end(rules.succeed(training.job, {"result": None}, 110.0))
    assert store.models.get("ann/forest").model.owner == "ann"


def test_no_other_end_adds_a_version(training: Training) -> None:
    training.save("model/model.skops", CONTENT)
    training.describe()
    ended = training.end(rules.fail(training.job, BOOM, 110.0))
    assert ended is not None and ended.state is JobState.FAILED
    assert training.store.models.of_job(ended.id) == [] and training.store.models.all() == []


def test_a_job_without_its_files_is_lost(training: Training) -> None:
    assert isinstance(training.check(), WorkerLost)
    training.describe()
    assert isinstance(training.check(), WorkerLost)
    training.save("model/model.skops", CONTENT)
    assert training.check() is None


def test_other_files_than_described_fail_the_job(training: Training) -> None:
    training.save("model/model.skops", b"others")
    training.describe()
    problem = training.check()
    assert isinstance(problem, ResultNotEncodable) and "not the one" in problem.message
    training.save(DESCRIPTION_FILE, b'{"model": 3}')
    problem = training.check()
    assert isinstance(problem, ResultNotEncodable) and "invalid" in problem.message
    training.describe(note="x" * 5_000_000)
    problem = training.check()
    assert isinstance(problem, ResultNotEncodable) and "4,194,304 are allowed" in problem.message


def test_other_jobs_are_left_alone(training: Training) -> None:
    assert training.trained.check(make_job(), []) is None
