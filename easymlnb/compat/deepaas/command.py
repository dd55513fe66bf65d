"""``deepaas-cli``: run a method of an installed module from the command line, as OSCAR does.

Options, files and messages are those of DEEPaaS. Messages go to the standard error stream.
"""

import argparse
import ast
import json
import mimetypes
import multiprocessing
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

from easymlnb.compat.deepaas import responses
from easymlnb.compat.deepaas.arguments import ACCEPT, Arguments, messages_of
from easymlnb.compat.deepaas.fields import choices, default, description, is_file
from easymlnb.compat.deepaas.files import UploadedFile
from easymlnb.compat.deepaas.module import METHODS, Module, load, names
from easymlnb.compat.deepaas.package import VERSION
from easymlnb.contract.deepaas import PREDICT, TRAIN, Method
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.types import temp_files
from easymlnb.types.media_types import JSON

MODEL = "DEEPAAS_V2_MODEL"
"""The environment variable that names the model, if several are installed."""


class CommandError(Exception):
    """What is wrong with a command, in one sentence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        options, _ = _general().parse_known_args([arg for arg in given if arg not in ("-h",)])
        module = load(_chosen(options.model_name))
        parsed = _parser(module).parse_args(given)
        if parsed.deepaas_with_multiprocessing:
            multiprocessing.set_start_method("spawn", force=True)
        with temp_files.scratch():
            _run(module, parsed)
    except (CommandError, EasyMLNBError) as error:
        _say(f"[ERROR]: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _general() -> argparse.ArgumentParser:
    """Return the parser of the options before the method."""
    parser = argparse.ArgumentParser("deepaas-cli", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("--version", action="version", version=VERSION)
    add("--deepaas_method_output", "--deepaas-method_output", help="Write the output to this file.")
    add(
        "--deepaas_with_multiprocessing",
        "--deepaas-with_multiprocessing",
        action="store_true",
        default=True,
        help="Start processes of the module with the method 'spawn' (default).",
    )
    add(
        "--nodeepaas_with_multiprocessing",
        "--nodeepaas-with_multiprocessing",
        action="store_false",
        dest="deepaas_with_multiprocessing",
    )
    add("--model-name", "--model_name", help="The model, if several are installed.")
    add("--debug", "-d", action="store_true", help="Accepted for compatibility.")
    return parser


def _chosen(given: str | None) -> str:
    """Return the name of the model; raises ``CommandError`` if it is not clear."""
    name = given or os.environ.get(MODEL, "")
    known = names()
    if name:
        return name
    if len(known) == 1:
        return known[0]
    raise CommandError(
        f"There are several models available ({known}). Choose one with --model-name, or set the "
        f"environment variable {MODEL}."
        if known
        else "No model is installed in the group 'deepaas.v2.model'."
    )


def _parser(module: Module) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "deepaas-cli", parents=[_general()], description=f"Run a method of {module.name!r}."
    )
    commands = parser.add_subparsers(dest="method", metavar="METHOD")
    commands.add_parser("get_metadata", help="Print what the module says about itself.")
    commands.add_parser("warm", help="Prepare the model.")
    for method in METHODS:
        if method in module.arguments:
            command = commands.add_parser(
                method,
                help=f"Run {method}(); see '{method} --help'.",
                formatter_class=argparse.RawTextHelpFormatter,
            )
            for name, field in module.arguments[method].fields.items():
                _add_argument(command, name, field)
    return parser


def _add_argument(parser: argparse.ArgumentParser, name: str, field: fields.Field) -> None:
    lines = [description(field), f"Type: {_type_name(field)}"]
    if field.required:
        lines.append("*Required*")
    else:
        lines.append(f"Default: {default(field)}")
    if allowed := choices(field):
        lines.append(f"Choices: {allowed}")
    parser.add_argument(
        f"--{name}",
        dest=name,
        default=argparse.SUPPRESS,
        type=_reader(field),
        required=field.required,
        help="\n".join(line for line in lines if line).replace("%", "%%"),
    )


def _type_name(field: fields.Field) -> str:
    return "str (filepath)" if is_file(field) else type(field).__name__.lower()


def _reader(field: fields.Field) -> Callable[[str], Any]:
    """Return what reads an argument: lists and dicts are Python literals."""
    literal = isinstance(field, fields.List | fields.Mapping | fields.Nested | fields.Tuple)
    return _literal if literal and not hasattr(field, "delimiter") else str


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        message = f'{text!r} is not a list or dict, such as "[1, 2]".'
        raise argparse.ArgumentTypeError(message) from None


def _run(module: Module, parsed: argparse.Namespace) -> None:
    output = parsed.deepaas_method_output
    if parsed.method == "warm":
        module.warm()
        _say("return: Finished warm() method")
    elif parsed.method == PREDICT:
        _predict(module, _values(module, PREDICT, parsed), output)
    elif parsed.method == TRAIN:
        _write(json.dumps(_train(module, _values(module, TRAIN, parsed))).encode(), output)
    else:
        if parsed.method is None:
            _say("[WARNING] No method was requested. Returning get_metadata()")
        _write(json.dumps(module.metadata).encode(), output)


def _values(module: Module, method: Method, parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the checked arguments; raises ``CommandError``."""
    arguments: Arguments = module.arguments[method]
    given = vars(parsed)
    found = {name: given[name] for name in arguments.fields if name in given}
    for name, field in arguments.fields.items():
        if is_file(field) and name in found:
            found[name] = _copied(found[name])
    try:
        return arguments.load(found)
    except ValidationError as error:
        problems = "; ".join(
            f"--{name}: {messages}" for name, messages in messages_of(error).items()
        )
        raise CommandError(f"The arguments are invalid. {problems}") from None


def _copied(path: str) -> UploadedFile:
    """Return a copy of a file, which the model may delete; it is gone at the end of the command."""
    try:
        copy = str(temp_files.create(Path(path).name, b""))
        shutil.copyfile(path, copy)
    except OSError as error:
        raise CommandError(f"The file {path!r} cannot be read: {error.strerror}.") from None
    return UploadedFile("data", copy, mimetypes.guess_type(path)[0], path)


def _predict(module: Module, values: dict[str, Any], output: str | None) -> None:
    result = module.run(PREDICT, values)
    kind = responses.media_type(values, result)
    as_json = kind == JSON
    data = responses.as_json(result) if as_json else bytes(responses.content(result, kind))
    if output is None:
        _write(data if as_json else str(result).encode(), None)
        return
    wanted = values.get(ACCEPT) if module.arguments[PREDICT].accepts else None
    ending = mimetypes.guess_extension(kind) if wanted else ".json"
    if ending and Path(output).suffix != ending:
        _say(
            f"[WARNING] You are trying to store {ending} type data in the file with "
            f"{Path(output).suffix} extension!\n===================> New output is "
            f"{output}{ending}"
        )
        output += ending
    _write(data, output)


def _train(module: Module, values: dict[str, Any]) -> dict[str, Any]:
    started = datetime.now()
    result = module.run(TRAIN, values)
    ended = datetime.now()
    return {
        "date": str(started),
        "args": module.arguments[TRAIN].as_json(values),
        "status": "done",
        "uuid": uuid.uuid4().hex,
        "result": {
            "finish_date": str(ended),
            "duration": str(ended - started),
            "output": json.loads(responses.as_json(result)),
        },
    }


def _write(data: bytes, output: str | None) -> None:
    if output is None:
        _say(f"return: {data.decode('utf-8', 'replace')}")
        return
    try:
        Path(output).absolute().parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_bytes(data)
    except OSError as error:
        raise CommandError(f"The file {output!r} cannot be written: {error.strerror}.") from None
    _say(f"return: Output is saved in {output}")
