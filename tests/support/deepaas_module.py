"""An installed DEEPaaS module in a folder: a package and the metadata of its distribution."""

from pathlib import Path

METADATA = """Metadata-Version: 2.1
Name: deep_demo
Version: 0.3.1
Summary: Echoes its arguments.
Author: Ada Lovelace
License: MIT
"""

ENTRY_POINTS = """[deepaas.v2.model]
deep-demo = deep_demo.api
deep_small = deep_demo.small:Model
deep_clash = deep_demo.clash
"""

API = '''"""A module as authors of AI4OS write them: arguments of all types, and training."""

import base64
import io
import json
import tempfile
import time
import zipfile
from importlib import metadata
from pathlib import Path

from deepaas.model.v2.wrapper import UploadedFile
from webargs import fields, validate

WARMED = []


class HTTPException(Exception):
    """Replacement for aiohttp's class."""


class HTTPBadRequest(HTTPException):
    """What aiohttp raises, which modules import."""

    status = 400

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def warm():
    WARMED.append(True)


def get_metadata():
    found = metadata.metadata("deep_demo")
    return {
        "name": found["Name"],
        "version": found["Version"],
        "description": found["Summary"],
        "author": found["Author"],
        "license": found["License"],
    }


def get_predict_args():
    return {
        "demo-str": fields.Str(missing="some-string", description="A text"),
        "demo-str-choice": fields.Str(missing="choice2", enum=["choice1", "choice2"]),
        "demo-int": fields.Int(missing=1),
        "demo-int-range": fields.Int(
            missing=50, validate=[validate.Range(min=1, max=100)], description="From 1 to 100"
        ),
        "demo-float": fields.Float(missing=0.1),
        "demo-bool": fields.Bool(missing=True),
        "demo-dict": fields.Str(missing='{"a": 0, "b": 1}'),
        "demo-list-of-floats": fields.List(fields.Float(), missing=[0.1, 0.2, 0.3]),
        "demo-names": fields.DelimitedList(fields.Str(), missing=None),
        "demo-nested": fields.Nested(
            {"x": fields.Int(required=True, validate=validate.Range(min=0)), "y": fields.Str()}
        ),
        "demo-date": fields.Date(missing=None),
        "class": fields.Int(missing=0),
        "demo-image": fields.Field(
            required=True, type="file", location="form", description="An image to echo"
        ),
        "demo-audio": fields.Field(
            missing=None, type="file", location="form", description="audio, maybe of a video"
        ),
        "accept": fields.Str(
            missing="application/json",
            validate=validate.OneOf(
                ["application/json", "application/zip", "image/*", "text/plain"]
            ),
            location="headers",
        ),
    }


def predict(**kwargs):
    if kwargs["demo-str"] == "status":
        raise HTTPBadRequest("Choose another text.")
    if kwargs["demo-str"] == "bug":
        raise RuntimeError("a secret of the author")
    if kwargs["demo-str"] == "todo":
        raise NotImplementedError
    image = kwargs["demo-image"]
    if kwargs["accept"] == "text/plain":
        return f"{image}"
    data = Path(image.filename).read_bytes()
    if kwargs["accept"] == "image/*":
        return io.BytesIO(data[::-1])
    kwargs["demo-dict"] = json.loads(kwargs["demo-dict"])
    kwargs["demo-date"] = str(kwargs["demo-date"])
    kwargs["demo-image"] = base64.b64encode(data).decode()
    kwargs["demo-audio"] = str(kwargs["demo-audio"])
    if kwargs["accept"] == "application/zip":
        file = tempfile.TemporaryFile()
        with zipfile.ZipFile(file, "w") as found:
            found.writestr("args.json", json.dumps([kwargs, image]))
        file.seek(0)
        return file
    return kwargs


def get_train_args():
    return {
        "epoch_num": fields.Int(missing=1, validate=validate.Range(min=0)),
        "data": fields.Field(missing=None, type="file", location="form"),
        "gate": fields.Str(missing="", description="A file to wait for"),
    }


def train(**kwargs):
    while kwargs["gate"] and not Path(kwargs["gate"]).exists():
        time.sleep(0.02)
    if kwargs["epoch_num"] > 99:
        raise HTTPBadRequest("Too many epochs.")
    size = Path(kwargs["data"].filename).stat().st_size if kwargs["data"] else 0
    return {"status": "done", "epochs": kwargs["epoch_num"], "size": size}
'''

SMALL = '''"""A class with a response schema, and no training."""

import marshmallow
from marshmallow import fields
from deepaas.model.v2 import base


class Arguments(marshmallow.Schema):
    class Meta:
        ordered = True

    x = fields.Float(required=True, metadata={"description": "A number"})
    how = fields.Str(load_default="good", metadata={"enum": ["good", "bad", "raw"]})


class Label(marshmallow.Schema):
    label = fields.Str(required=True)
    probability = fields.Float(required=True)


class Answer(marshmallow.Schema):
    labels = fields.List(fields.Nested(Label), required=True)
    picture = fields.Str(metadata={"description": "An image in base64"})


class Model(base.BaseModel):
    schema = Answer

    def get_predict_args(self):
        return Arguments().fields

    def predict(self, x, how):
        if how == "bad":
            return {"labels": "none"}
        return {"labels": [{"label": "x", "probability": x}], "picture": "iVBORw0KGgo="}

    train = None
'''

CLASH = """from webargs import fields


def get_predict_args():
    return {"a-b": fields.Int(), "a b": fields.Int()}


def predict(**kwargs):
    return kwargs
"""


def install(folder: Path) -> Path:
    """Write the package and its metadata below ``folder``, which is to be on ``sys.path``."""
    package, info = folder / "deep_demo", folder / "deep_demo-0.3.1.dist-info"
    for path in (package, info):
        path.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "api.py").write_text(API)
    (package / "small.py").write_text(SMALL)
    (package / "clash.py").write_text(CLASH)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
