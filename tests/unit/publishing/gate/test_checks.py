"""Each check of the gate on a notebook on disk, with the real tools."""

import json
import socket
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from easymlnb.contract.errors import BadRequest, BundleRejected, GateUnavailable, QualityGateFailed
from easymlnb.contract.quality import QualityReport
from easymlnb.publishing.gate import bandit_check, files, literals, run, secrets_check, tools
from easymlnb.publishing.gate.literals import without_numbers
from easymlnb.publishing.gate.local import GateOptions, check_notebook, require
from easymlnb.publishing.gate.sources import module_of
from support.notebooks import make_notebook

pytestmark = pytest.mark.slow

GOOD = '''
import easymlnb as ml

@ml.service(examples=[{"sides": 3}], license="MIT", author="Ann", tags=["dice"],
            metadata={"source": "https://example.org/code"})
def roll(sides: int = 6) -> int:
    """Roll a die."""
    return sides
'''
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
BAD = f'''
import os
import helper
token = "{TOKEN}"

@ml.service
def bad(x, n: int = 1) -> int:
    return os.system(f"ls {{x}}") + nothing
'''


def check(folder: Path, *cells: Any, **options: Any) -> QualityReport:
    path = folder / "work.ipynb"
    notebook = make_notebook()
    notebook.cells = [new_code_cell(one) if isinstance(one, str) else one for one in cells]
    nbformat.write(notebook, path)
    return check_notebook(path, GateOptions(**options))


def rules(found: QualityReport) -> dict[str, tuple[str, str]]:
    return {one.rule: (one.severity, one.place) for one in found.findings}


def test_a_good_notebook_has_no_findings(tmp_path: Path) -> None:
    found = check(tmp_path, "%matplotlib inline\n!ls", "%%bash\nls", GOOD, "await roll(3)")
    assert (found.lines(), found.passed) == (["Quality gate passed: no findings."], True)
    assert set(found.checks) == {"ruff", "bandit", "secrets", "metadata"}
    require(found)


def test_each_check_finds_its_part_with_cell_and_line(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(
        "import subprocess\n\nsubprocess.call(input(), shell=True)\n"
    )
    printed = new_output("stream", text=f"a\nkey {TOKEN}\n")
    found = check(
        tmp_path,
        new_markdown_cell("AKIAQWERTYUIOPASDFGH"),
        GOOD,
        BAD,
        new_code_cell("print(1)", outputs=[printed]),
    )
    assert rules(found) | {
        "secrets:aws-access-key": ("error", "cell 1, line 1"),
        "secrets:github-token": ("error", "cell 4, output"),
        "ruff:F821": ("error", "cell 3, line 8"),
        "bandit:B602": ("error", "helper.py, line 3"),
        "bandit:B605": ("error", "cell 3, line 8"),
        "schema:untyped": ("warning", "cell 3, line 7"),
        "examples:missing": ("warning", "cell 3, line 7"),
        "metadata:description": ("warning", "cell 3, line 7"),
        "metadata:source": ("warning", "cell 3, line 7"),
        "metadata:license": ("warning", "cell 3, line 7"),
    } == rules(found)
    assert ("error", "cell 3, line 4") in {
        (one.severity, one.place) for one in found.findings if one.code == "github-token"
    }
    assert TOKEN not in json.dumps([one.message for one in found.findings])
    with pytest.raises(QualityGateFailed, match="did not pass the quality gate"):
        require(found)


def test_comments_and_severities_decide(tmp_path: Path) -> None:
    secret = "password = 'sw0rdfish!'  # pragma: allowlist secret"
    cell = f"import os\nos.system(input())  # nosec\n{secret}"
    assert check(tmp_path, GOOD, cell).passed
    (tmp_path / "easymlnb-gate.toml").write_text('[severity]\n"ruff:F401" = "error"\n')
    assert rules(check(tmp_path, GOOD, "import sys")) == {"ruff:F401": ("error", "cell 2, line 1")}
    assert check(tmp_path, GOOD, "import sys", severity={"ruff:F401": "info"}).passed


def test_broken_cells_are_found_and_do_not_hide_others(tmp_path: Path) -> None:
    found = rules(check(tmp_path, "x = [1,\n", GOOD, "import sys", "%no such magic ("))
    assert found["notebook:not-python"] == ("error", "cell 1, line 1")
    assert found["ruff:F401"] == ("warning", "cell 3, line 1")


@pytest.mark.parametrize("line", ["größe = 1", f"x = '{'word ' * 200}'", "# coding: unknown"])
def test_no_valid_line_keeps_the_rest_from_being_checked(tmp_path: Path, line: str) -> None:
    insecure = "import os\nos.system(input())\n"
    (tmp_path / "helper.py").write_text(f"{line.replace('unknown', 'utf-8')}\n{insecure}")
    found = check(tmp_path, f"{line}\nimport helper\nprint(helper)", GOOD, insecure)
    assert [(one.rule, one.place) for one in found.findings] == [
        ("bandit:B605", "helper.py, line 3"),
        ("bandit:B605", "cell 3, line 2"),
    ]


def test_a_module_that_is_too_large_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_TEXT", 20)
    (tmp_path / "helper.py").write_text("import os\nos.system(input())\n")
    found = rules(check(tmp_path, "import helper\nprint(helper)", GOOD))
    assert found["notebook:large-module"] == ("error", "helper.py")


def test_all_texts_of_a_bundle_are_searched_for_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they are called; large ones are read in blocks, for tokens of a known form."""
    monkeypatch.setattr(files, "MAX_TEXT", 2000)
    monkeypatch.setattr(files, "BLOCK", 1000)
    monkeypatch.setattr(run, "MAX_LARGE", 12_000)
    (tmp_path / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "windows.txt").write_text(f"token\n{TOKEN}\n", encoding="utf-16")
    (tmp_path / "pixels.bin").write_bytes(b"\0" + TOKEN.encode())
    lines = [f"{number},1.5" for number in range(1000)]
    lines[700] = f"a,{TOKEN}"
    (tmp_path / "long.csv").write_text("\n".join(lines))
    (tmp_path / "one_line.json").write_text("1," * 1479 + TOKEN + ",1" * 500)
    (tmp_path / "too_long.csv").write_text("1," * 7000)
    path = tmp_path / "work.ipynb"
    notebook = make_notebook(GOOD)
    svg = new_output("display_data", {"image/svg+xml": f"<svg><!-- {TOKEN} --></svg>"})
    notebook.cells[0].outputs = [svg]
    nbformat.write(notebook, path)
    found = check_notebook(path, GateOptions(), include=["*", "id_rsa"])
    assert sorted((one.rule, one.place) for one in found.findings) == [
        ("notebook:large-file", "too_long.csv"),
        ("secrets:github-token", "cell 1, output"),
        ("secrets:github-token", "long.csv, line 701"),
        ("secrets:github-token", "one_line.json, line 1"),
        ("secrets:github-token", "windows.txt, line 2"),
        ("secrets:private-key", "id_rsa, line 1"),
    ]


def test_services_that_come_from_running_the_notebook_are_no_reason_to_refuse_it(
    tmp_path: Path,
) -> None:
    assert "notebook:no-service" in rules(check(tmp_path, "import easymlnb as ml"))
    for imported in (
        "from easymlnb.compat import deepaas\ndeepaas.serve('demo')",
        "import easymlnb.compat.easymlserve as easymlserve\neasymlserve.run('service.py')",
    ):
        assert "notebook:no-service" not in rules(check(tmp_path, imported))


def test_code_that_magics_run_is_checked(tmp_path: Path) -> None:
    insecure = "import os\nos.system(input())"
    nbformat.write(make_notebook("x = 1", insecure), tmp_path / "other.ipynb")
    (tmp_path / "helper.py").write_text(f"# -*- coding: utf-7 -*-\n{insecure}")
    (tmp_path / "script.ipy").write_text(f"%cd .\n{insecure}")
    (tmp_path / "broken.ipynb").write_text('{"nbformat": 4')
    colored = new_output(
        "error", ename="E", evalue="", traceback=[f"{TOKEN[:9]}\x1b[0m{TOKEN[9:]}"]
    )
    found = check(
        tmp_path,
        GOOD,
        "%run other.ipynb\n%run helper.py\n%run broken.ipynb\n%run script.ipy",
        f"%%time\n{insecure}",
        new_code_cell("1", outputs=[colored]),
    )
    assert [(one.rule, one.place) for one in found.findings] == [
        ("bandit:B605", "helper.py, line 3"),
        ("bandit:B605", "script.ipy, line 3"),
        ("bandit:B605", "other.ipynb, cell 2, line 2"),
        ("bandit:B605", "cell 3, line 3"),
        ("secrets:github-token", "cell 4, output"),
    ]


def test_the_code_of_notebooks_with_large_outputs_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_TEXT", 2000)
    monkeypatch.setattr(files, "MAX_RUN", 20_000)
    found = files.BundleTexts([], [], [], [], [])
    for name, code, output in (("a", "x", 3000), ("b", "x" * 3000, 0), ("c", "x", 30_000)):
        notebook = make_notebook(code)
        notebook.cells[-1].outputs = [new_output("stream", text="y" * output)]
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(notebook, path)
        files._add_notebook(found, f"{name}.py", path.name, path)
    assert [one.name for one in found.notebooks] == ["a.py"]
    assert found.large_modules == ["b.ipynb", "c.ipynb"]


def test_all_notebooks_that_magics_could_run_are_read() -> None:
    """Also those that publishing would refuse."""
    code = {"cell_type": "code", "source": ["x = 1"]}
    for notebook in (
        {"nbformat": 4, "cells": [{"cell_type": "odd"}, 7, code]},
        {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]},
    ):
        (found,) = files._code_of("a.py", "a.ipynb", json.dumps(notebook))
        assert "x = 1" in found.lines
    for text in ("[1]", '{"cells": 1, "worksheets": [1]}'):
        (found,) = files._code_of("a.py", "a.ipynb", text)
        assert not any(found.lines)
    assert not list(files._code_of("a.py", "a.ipynb", "{"))


def test_allowed_lines_of_large_files_are_left_out() -> None:
    lines = f"{TOKEN}  # pragma: allowlist secret\n{TOKEN}"
    source = module_of("large.txt", "large.txt", lines)
    counts = [len(secrets_check.known_forms([source], comments=one)) for one in (True, False)]
    assert counts == [1, 2]


def test_long_lists_of_numbers_are_not_given_to_bandit() -> None:
    """It needs a minute for 200,000; what is around them is checked."""
    pairs = ",\n".join("(-1.5, 2)" for _ in range(300))
    code = f"ü = 'é'; x = [{pairs}]; y = {{1: ({'1, ' * 600})}}; z = [1, 2]\nw = 1{', 2' * 600}\n"
    code += f"v = [{'1, ' * 600} os.system('ls')]\n"
    made = without_numbers(module_of("a.py", "a.py", code))
    lines = [line for line in made.lines if line]
    assert len(made.lines) == code.count("\n") + 1
    assert lines[:2] == ["ü = 'é'; x = [", "]; y = {}; z = [1, 2]"]
    assert "os.system" in lines[-1]
    compile("\n".join(made.lines), "a.py", "exec")
    for other in ("x = [" + "1," * 600, "x = 1"):
        source = module_of("a.py", "a.py", other)
        assert without_numbers(source) == source


def test_lists_inside_lists_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An author must not be able to keep the gate busy."""
    counted: list[Any] = []
    count = literals._sum

    def counting(*given: Any) -> int | None:
        counted.append(given)
        return count(*given)

    monkeypatch.setattr(literals, "_sum", counting)
    code = f"x = {'[' * 100}{'1, ' * 600}'end'{']' * 100}\n"
    source = module_of("a.py", "a.py", code)
    assert without_numbers(source) == source
    assert len(counted) == 100


def test_code_that_bandit_cannot_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("print 'old'\n")
    found = rules(check(tmp_path, "import helper\nprint(helper)", GOOD))
    assert found["bandit:not-checked"] == ("error", "helper.py")


def test_cells_that_are_not_run_are_searched_for_secrets_only(tmp_path: Path) -> None:
    cell = new_code_cell(f"nothing\nx = '{TOKEN}'")
    cell.metadata["tags"] = ["skip"]
    assert rules(check(tmp_path, GOOD, cell)) == {
        "secrets:github-token": ("error", "cell 2, line 2")
    }


def test_a_notebook_without_a_service(tmp_path: Path) -> None:
    assert rules(check(tmp_path, "x = 1")) == {"notebook:no-service": ("error", "")}


def test_settings_of_the_bundle_do_not_count(tmp_path: Path) -> None:
    for name in ("ruff.toml", ".bandit", "pyproject.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / "ruff.toml").write_text('lint.ignore = ["ALL"]\n')
    (tmp_path / ".bandit").write_text("[bandit]\nskips: B605\n")
    (tmp_path / "bandit.py").write_text("raise SystemExit(0)\n")
    found = check(tmp_path, GOOD, "import os, bandit\nos.system(input())")
    assert {"bandit:B605", "ruff:F401"} <= rules(found).keys()


def test_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the gate connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert not check(tmp_path, GOOD, f"x = '{TOKEN}'").passed


def test_a_missing_tool_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "missing", lambda *_: ("bandit",))
    with pytest.raises(GateUnavailable, match=r"needs bandit, .*: pip install 'easymlnb\[gate\]'"):
        check(tmp_path, GOOD)


def test_a_tool_that_fails_or_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GateUnavailable, match="nosuch_tool failed"):
        tools.run_module("nosuch_tool", [], tmp_path)
    monkeypatch.setattr(tools, "SECONDS", 0.01)
    with pytest.raises(GateUnavailable, match=r"did not end within 0\.01 s"):
        tools.run_module("ruff", ["check", "--output-format", "json", "."], tmp_path)
    source = module_of("a.py", "a.py", "x = 1")
    (finding,) = bandit_check.run(tmp_path, [source], comments=True)
    assert (finding.rule, finding.severity) == ("bandit:not-checked", "error")
    assert "did not end within" in finding.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "valid JSON, but not a notebook"),
        ('{"nbformat": 4, "cells": 3, "metadata": {}}', "list of cells is missing"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code"}], "metadata": {}}', "Cell 0"),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(text)
    with pytest.raises(BundleRejected, match=said):
        check_notebook(path, GateOptions())


def test_damaged_outputs_are_read_as_far_as_they_are_texts(tmp_path: Path) -> None:
    outputs = [3, {"data": ["x"]}, {"data": {"text/html": [TOKEN, 5], "image/png": "AKIA" * 9}}]
    cell = {"cell_type": "code", "source": GOOD, "metadata": {}, "outputs": outputs}
    path = tmp_path / "damaged.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": [cell]}))
    found = check_notebook(path, GateOptions())
    assert rules(found) == {"secrets:github-token": ("error", "cell 1, output")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[severity", "not valid TOML"),
        ("level = 3", "has no setting 'level'"),
        ("severity = 3", "must be a table"),
        ("advisories = 3", "must be the path"),
    ],
)
def test_invalid_settings_name_the_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "easymlnb-gate.toml").write_text(text)
    with pytest.raises(BadRequest, match=rf"easymlnb-gate\.toml.*{said}"):
        check(tmp_path, GOOD)


def test_a_project_has_settings_for_its_folders(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.easymlnb.gate.severity]\nruff = "ignore"\n')
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert check(folder, GOOD, "import sys").findings == ()
