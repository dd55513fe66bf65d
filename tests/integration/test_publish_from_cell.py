"""``f.publish()`` in a cell of a real server: found, bundled, started, answered."""

import re

import nbformat

from support.kernels import NotebookKernel, Ran
from support.notebooks import make_notebook
from support.server import RunningServer

IMPORTS = "import easymlnb as ml\nimport {module}\n"
ROLL = '@ml.service(name="{name}")\ndef roll(sides: int = 6) -> int:\n    return {body}\n'
OTHER = '@ml.service(name="{name}_other")\ndef other() -> str:\n    return "other"\n'


class Author:
    """An author with a notebook, its kernel, and a module in the same folder."""

    def __init__(self, server: RunningServer, name: str) -> None:
        self.server = server
        self.name = name
        self.path = server.root / name / "dice.ipynb"
        self.path.parent.mkdir()
        (self.path.parent / f"{name}_tools.py").write_text("FACTOR = 2\n")
        self.kernel = NotebookKernel(server.http, f"{name}/dice.ipynb")

    def cells(self, body: str) -> list[str]:
        imports = IMPORTS.format(module=f"{self.name}_tools as tools")
        return [imports, ROLL.format(name=self.name, body=body), OTHER.format(name=self.name)]

    def save(self, body: str, *more: str) -> None:
        nbformat.write(make_notebook(*self.cells(body), *more), self.path)

    def run(self, body: str) -> None:
        for cell in self.cells(body):
            assert self.kernel.run(cell).error == ""

    def publish(self, function: str = "roll") -> Ran:
        return self.kernel.run(f"{function}.publish()")


def test_a_cell_publishes_its_notebook(session_server: RunningServer) -> None:
    author = Author(session_server, "pub_cell")
    author.run("sides * tools.FACTOR")
    ran = author.publish()
    assert ran.error.startswith("EasyMLNBError: The notebook to publish"), "it was not saved at all"

    author.save("sides * tools.FACTOR", "roll.publish()")
    ran = author.publish()
    assert ran.error == "", session_server.log[-3000:]
    assert "dice.ipynb" in ran.stdout and "pub_cell_tools.py" in ran.stdout
    shown = ran.displays[-1]["text/plain"]
    assert "pub_cell version 1 is published" in shown
    for path in ("apps/pub_cell", "services/pub_cell/page"):
        assert f":{session_server.port}/easymlnb/{path}\n" in shown
        opened = session_server.http.get(path, headers={"Accept": "text/html"})
        assert opened.status_code == 200, opened.text[:300]
        assert opened.headers["Content-Type"].startswith("text/html")
    names = [service["name"] for service in session_server.http.get("services").json()["services"]]
    assert "pub_cell" in names

    again = author.publish()
    assert "version 1" in again.displays[-1]["text/plain"]
    assert "(unchanged)" in again.displays[-1]["text/plain"]

    author.run("sides * 100")
    assert author.publish().error.startswith("EasyMLNBError: Save the notebook first")
    author.save("sides * 100", "roll.publish()")
    ran = author.publish()
    assert ran.error == ""
    assert "version 2" in ran.displays[-1]["text/plain"]

    divide_and_go_back(author)
    author.kernel.close()
    session_server.wait_for(
        lambda: session_server.call("pub_cell", sides=3).headers["X-Easymlnb-Version"] == "2",
        "the published version does not answer",
    )
    assert session_server.call("pub_cell", sides=3).json() == 300


def divide_and_go_back(author: Author) -> None:
    """Stage a third version, give it calls, and go back, all in cells."""
    author.run("sides * 1000")
    author.save("sides * 1000", "roll.publish()")
    ran = author.kernel.run("roll.stage()")
    assert ran.error == ""
    assert f"easymlnb promote {author.name} 3" in ran.displays[-1]["text/plain"]
    for cell, shown in (
        ("roll.traffic(weights={2: 50, 3: 50}, aliases={'candidate': 3})", "version 3: 50 %"),
        ("roll.rollback()", f"{author.name}: version 2: 100 %"),
        ("roll.promote('candidate', steps=[10, 100], every='1h')", "version 3 is running at 10 %."),
        ("roll.traffic()", "is changing this"),
        ("roll.rollback()", f"{author.name}: version 2: 100 %"),
    ):
        ran = author.kernel.run(f"print({cell})")
        assert ran.error == ""
        assert shown in ran.stdout


def test_a_second_service_of_the_same_notebook_joins_the_first(
    session_server: RunningServer,
) -> None:
    def workers() -> set[str]:
        folder = session_server.folder / "data" / "easymlnb" / "work"
        return {path.name for path in folder.iterdir()}

    before = workers()
    author = Author(session_server, "pub_two")
    author.save("sides")
    author.run("sides")
    assert author.publish("roll").error == ""
    assert author.publish("other").error == ""
    author.kernel.close()
    session_server.wait_for(
        lambda: session_server.call("pub_two", sides=3).headers["X-Easymlnb-Version"] == "1",
        "the first no longer answers",
    )
    assert session_server.call("pub_two", sides=3).json() == 3
    assert session_server.call("pub_two_other").json() == "other"
    bundles = {
        session_server.http.get(f"services/{name}").json()["bundle"]
        for name in ("pub_two", "pub_two_other")
    }
    assert len(bundles) == 1
    session_server.wait_for(
        lambda: len(workers() - before) == 1, "the worker that was replaced is still there"
    )


def test_a_failure_shows_the_cell_to_its_author(session_server: RunningServer) -> None:
    author = Author(session_server, "pub_fails")
    author.save("sides", "1 / 0")
    author.run("sides")
    ran = author.publish()
    assert ran.error.startswith("DeploymentFailed: Cell 4 of the notebook raised ZeroDivisionError")
    assert "at line 1" in ran.error
    assert "Cell 4 failed at line 1:\n    1 / 0" in ran.stdout and "Traceback" in ran.stdout
    assert re.search(r"Executed notebook: http\S+/bundles/\w+/notebook\n", ran.stdout)
    author.kernel.close()
