"""A misspelled option is answered with the closest one that exists."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import easymlnb as ml
from easymlnb.client import CallOptions
from easymlnb.contract.options import check
from easymlnb.publishing.bundle import build_bundle
from easymlnb.publishing.publish import publish
from easymlnb.publishing.sharing import share, unshare


def one(x: int) -> int:
    return x


def two(x: int) -> int:
    return x


class Own(ml.Type):
    def __init__(self, *, precision: int = 3) -> None:
        self.precision = precision


@dataclasses.dataclass
class OwnHint(ml.Hint):
    unit: str = ""


def served() -> Any:
    return ml.service(name="options_served")(lambda_free())


def lambda_free() -> Callable[..., Any]:
    def free(x: int) -> int:
        return x

    return free


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ml.service(example=[]), "ml.service has no option 'example'.*'examples'"),
        (lambda: ml.service(max_workes=2)(one), "'max_workers'"),
        (lambda: ml.service(Timeout=2)(one), "'timeout'"),
        (lambda: ml.service(max_concurrency=2)(one), "'max_concurrent'|'concurrency'"),
        (lambda: ml.service(color="red")(one), "Options: name, title, .*metadata"),
        (lambda: ml.pipeline(one, two, exposes=[]), "ml.pipeline has no option.*'expose'"),
        (lambda: ml.pipeline(one, two, timout=3), "'timeout'"),
        (lambda: ml.gather(a=one, b=two, concurent=False), "ml.gather .*'concurrent'"),
        (lambda: ml.Batch(maxsize=3), "Batch has no option 'maxsize'. Did you mean 'max_size'"),
        (lambda: ml.Number(minimum=3), "Number has no option 'minimum'. Options:"),
        (lambda: ml.Image(page=True), "Image has no option 'page'. Did you mean 'pages'"),
        (lambda: ml.Plot(title="a"), "Plot has no option 'title'. Plot accepts no options"),
        (lambda: ml.Webcam(lable="a"), "Webcam has no option 'lable'. Did you mean 'label"),
        (lambda: Own(presicion=1), "Own has no option 'presicion'. Did you mean 'precision'"),
        (lambda: OwnHint(units="m"), "OwnHint has no option 'units'. Did you mean 'unit'"),
        (lambda: ml.use("a", timout=1), "use has no option 'timout'. Did you mean 'timeout'"),
        (lambda: ml.connect(tokn="a"), "connect has no option 'tokn'. Did you mean 'token'"),
        (lambda: ml.connect_async(uri="a"), "Did you mean 'url'"),
        (lambda: ml.optimize(None, example=[1]), "optimize .*'examples'"),
        (
            lambda: CallOptions(time_out=1),
            "Options has no option 'time_out'. Did you mean 'timeout'",
        ),
        (
            lambda: build_bundle("a", includes=[]),
            "build_bundle has no option 'includes'. Did you mean 'include'",
        ),
        (lambda: publish("a", includes=[]), "'include'"),
        (lambda: share("a", group=["b"]), "share has no option 'group'. Did you mean 'groups'"),
        (lambda: unshare("a", tokens=""), "'token'"),
        (lambda: served().publish(notebok="a"), "publish .*'notebook'"),
        (lambda: served().share(user=["a"]), "'users'"),
    ],
)
def test_a_wrong_option_is_answered_with_the_closest(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        call()


def test_right_options_still_work() -> None:
    assert ml.Batch(max_size=3) == ml.Batch(max_size=3, stack=False)
    assert Own(precision=4).precision == 4
    assert OwnHint("m").unit == "m"
    check("it", [], [])
    assert list(inspect.signature(publish).parameters)[:2] == ["service", "notebook"]
    assert str(inspect.signature(ml.Batch)) == (
        "(*, max_size: int = 64, max_wait: float = 0.0, stack: bool = False) -> None"
    )


def test_a_batch_travels_and_is_checked_on_the_way() -> None:
    batch = ml.Batch(max_size=3, max_wait=0.5, stack=True)
    data = msgspec.json.encode(batch)
    assert msgspec.json.decode(data) == {"max_size": 3, "max_wait": 0.5, "stack": True}
    assert msgspec.json.decode(data, type=ml.Batch) == batch
    with pytest.raises(msgspec.ValidationError, match="max_size"):
        msgspec.json.decode(b'{"max_size": 0}', type=ml.Batch)


@pytest.mark.parametrize("name", ml.__all__)
def test_every_public_name_that_takes_options_says_so(name: str) -> None:
    found = getattr(importlib.import_module("easymlnb"), name)
    skipped = ("Batched", "ServiceFunction", "Hint", "Type", "__version__", "Client", "Upload")
    if name in (*skipped, "AsyncClient", "CallerError", "EasyMLNBError", "Optimized", "progress"):
        return  # not made by their authors' words, or without options
    if name in ("HTML", "Markdown", "plots", "registry"):
        return  # texts, and objects whose functions have options
    with pytest.raises(TypeError, match="has no option 'nonsense'"):
        found(nonsense=1)
