"""Building bundles: which files next to a notebook are included, left out or refused."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.errors import BundleRejected, TooLarge
from easymlnb.publishing.bundle import BuiltBundle, build_bundle
from easymlnb.publishing.bundle.file_collector import is_private, matches
from easymlnb.publishing.bundle.static_analysis import parse, path_text, read_cells


def cell(source: str, *tags: str, kind: str = "code") -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}
    if kind == "code":
        made |= {"outputs": [], "execution_count": 7}
    return made


def save(path: Path, *cells: str | dict[str, Any], **more: Any) -> Path:
    made = [cell(c) if isinstance(c, str) else c for c in cells]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made} | more
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
    return path


def files(made: BuiltBundle) -> list[str]:
    return sorted(made.manifest.files)


def put(folder: Path, *paths: str, content: str = "x = 1\n") -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def test_a_plain_notebook_makes_a_bundle(tmp_path: Path) -> None:
    path = save(
        tmp_path / "dice.ipynb",
        "import easymlnb as ml",
        "@ml.service\ndef roll() -> int: ...",
        metadata={"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}},
    )
    made = build_bundle(path)
    read = open_bundle(made.data)
    assert read.id == made.id
    assert made.manifest.notebook == "dice.ipynb" and made.manifest.kernel == "python3"
    assert made.services == ("roll",) and made.manifest.services == ()
    assert files(made) == [] and made.notes == () and made.manifest.requirements == ()
    assert read.notebook["cells"][1]["execution_count"] is None
    told = made.manifest.environment
    assert told.python == ".".join(map(str, sys.version_info[:3]))
    assert told.platform and told.created.endswith("+00:00") and "easymlnb" in told.packages


def test_making_it_again_gives_the_same_id(tmp_path: Path) -> None:
    put(tmp_path, "tools.py")
    path = save(tmp_path / "n.ipynb", "import tools")
    first = build_bundle(path).id
    content = json.loads(path.read_text())
    content["cells"][0] |= {"execution_count": 9, "outputs": [{"output_type": "stream"}]}
    path.write_text(json.dumps(content, indent=4))
    os.utime(tmp_path / "tools.py", (1, 1))
    assert build_bundle(path).id == first
    put(tmp_path, "tools.py", content="x = 2\n")
    assert build_bundle(path).id != first


def test_local_modules_are_taken_with_what_they_import(tmp_path: Path) -> None:
    put(
        tmp_path,
        *("a.py", "unused.py", "pack/__init__.py", "pack/sub/deep.py", "pack/data.txt"),
        *("space/used.py", "space/other.py", "notpy/readme.txt", "lazy.py", "pandas_like.py"),
        *("fromcell.py", "pack/__pycache__/x.py"),
    )
    put(tmp_path, "a.py", content="import b\nfrom pack import sub\nCONFIG = 'conf/a.json'\n")
    put(tmp_path, "b.py", content="import a\nimport importlib\nimportlib.import_module('lazy')\n")
    put(tmp_path, "conf/a.json", content="{}")
    path = save(
        tmp_path / "n.ipynb",
        "import a, json, numpy as np\nimport space.used\nimport notpy",
        "%%time\nimport fromcell",
    )
    assert files(build_bundle(path)) == [
        *("a.py", "b.py", "conf/a.json", "fromcell.py", "lazy.py", "pack/__init__.py"),
        *("pack/sub/deep.py", "space/other.py", "space/used.py"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "sys.path.insert(0, 'src')",
        "sys.path.append('./src/')",
        "sys.path.append(str(Path('src')))",
        "sys.path.append(os.path.join('.', 'src'))",
        "sys.path.append(os.path.join(os.getcwd(), 'src'))",
        "sys.path.insert(1, os.path.abspath('src'))",
        "sys.path.insert(0, str(Path.cwd() / 'src'))",
        "sys.path.insert(0, Path('src').resolve().as_posix())",
        "sys.path.insert(0, f'{os.getcwd()}/src')",
        "sys.path.insert(0, os.getcwd() + '/src')",
        "sys.path.insert(0, str((Path('src/x') / 'y.py').parents[1]))",
        "SRC = Path('src')\nif str(SRC) not in sys.path:\n    sys.path.insert(0, str(SRC))",
        "sys.path.extend(['lib', 'src'])",
        "sys.path += ['src']",
        "sys.path[:0] = ['src']",
        "sys.path = ['src', *sys.path]",
        "site.addsitedir('src')",
        "%cd src",
        "%cd -q './src/'",
        "os.chdir('src')",
        "%cd .\n%cd src/tools\nsys.path.append('..')",
        "import start",
    ],
)
def test_modules_in_folders_that_the_code_searches_are_taken(tmp_path: Path, source: str) -> None:
    put(tmp_path, *("src/tools/__init__.py", "src/tools/deep.py", "src/other.py", "lib/no.py"))
    put(tmp_path, "src/plain.py", content="import other\nimport msgspec")
    put(tmp_path, "start.py", content="sys.path.append(os.path.dirname(__file__) + '/src')")
    made = build_bundle(save(tmp_path / "n.ipynb", "import os, sys", source, "import tools, plain"))
    taken = [path for path in files(made) if path != "start.py"]
    assert taken == ["src/other.py", "src/plain.py", "src/tools/__init__.py", "src/tools/deep.py"]
    assert made.manifest.requirements == (f"msgspec=={version('msgspec')}",)
    assert made.notes == ()


def test_files_in_a_folder_that_the_code_changes_to_are_taken(tmp_path: Path) -> None:
    put(tmp_path, "data/a.csv", "data/more/b.csv", "c.csv", "empty/x.txt")
    path = save(tmp_path / "n.ipynb", "%cd data", "open('a.csv'); open('more/b.csv')", "%cd ..")
    assert files(build_bundle(path)) == ["data/a.csv", "data/more/b.csv"]
    (note,) = build_bundle(save(tmp_path / "m.ipynb", "%cd empty")).notes
    assert "include=['empty/**']" in note


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("sys.path.append(found_somehow())\nimport tools", "include=['work/src/**']"),
        ("sys.path.append('..')\nimport beside", "'beside' is imported from '..', outside"),
        ("sys.path.append(str(Path.cwd().parent))\nimport pack.one", "'pack' is imported from"),
        ("%cd ..\nimport beside", "Move the module into that folder, or install it"),
        ("sys.path.append('{full}')\nimport tools", "Write 'work/src'"),
        ("sys.path.append('nowhere')\nimport nothing", "'nothing' is imported but not installed"),
    ],
)
def test_modules_that_cannot_be_taken_are_explained(tmp_path: Path, source: str, said: str) -> None:
    folder = tmp_path / "notebooks"
    put(tmp_path, "beside.py", "pack/one.py")
    put(folder, "work/src/tools/__init__.py", "work/src/tools.txt")
    source = source.format(full=folder / "work/src")
    (note,) = build_bundle(save(folder / "n.ipynb", source)).notes
    assert said in note


def test_magics_do_not_hide_imports(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "b.py", "c.py", "d.py", "helper.py")
    path = save(
        tmp_path / "n.ipynb",
        "%matplotlib inline\nimport a\n!ls -la\nfiles = !ls\nimport b",
        "import c\nprint?",
        "%run helper.py",
        "%%bash\nimport d",
        "this is no Python",
    )
    made = build_bundle(path)
    assert files(made) == ["a.py", "b.py", "c.py", "helper.py"]
    assert made.notes == ("Cell 4 is not valid Python; its imports and files are not detected.",)


def test_skipped_cells_and_markdown_do_not_count(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "b.csv")
    path = save(
        tmp_path / "n.ipynb",
        cell("import a\n@ml.service\ndef f(): ...", "skip"),
        cell("'b.csv'", kind="markdown"),
        "1",
    )
    made = build_bundle(path)
    assert files(made) == [] and made.services == ()
    cells = open_bundle(made.data).notebook["cells"]
    assert cells[0]["source"].startswith("import a") and cells[0]["metadata"]["tags"] == ["skip"]


def test_data_that_the_code_names_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    put(
        folder,
        *("a.csv", "data/b.csv", "data/c.csv", "data/d.txt", "m/w.pt", "x y.txt", "more/e.csv"),
        *("unnamed.csv", "joined/f.csv", "g.json"),
    )
    put(tmp_path, "outside.csv")
    path = save(
        folder / "n.ipynb",
        "pd.read_csv('a.csv'); open('./x y.txt'); glob.glob('data/*.csv')",
        "torch.load(Path('m') / 'w.pt'); os.path.join('joined', 'f.csv'); Path.cwd() / 'g.json'",
        "open('../outside.csv'); open('missing.csv'); open('n.ipynb'); open('" + "z" * 300 + "')",
        "'*'; '**'; '.'; ''; 'http://h/a.csv'; '\\x00'; 'data'; 'more/'; open('/etc/passwd')",
    )
    made = build_bundle(path)
    assert files(made) == [
        *("a.csv", "data/b.csv", "data/c.csv", "g.json", "joined/f.csv", "m/w.pt", "x y.txt")
    ]
    assert len(made.notes) == 1 and "'more' is used but not included" in made.notes[0]


def test_secrets_and_ways_out_are_left_out_unless_named_in_full(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    names = [".env", "server.pem", "conf/.hidden/x.txt", "secrets.json", "id_rsa", "api_key.txt"]
    put(folder, *names)
    put(tmp_path, "outside.txt")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    path = save(folder / "n.ipynb", f"names = {[*names, 'link.txt']!r}")
    made = build_bundle(path)
    assert files(made) == []
    assert len(made.notes) == 7
    assert "Add it with include=['server.pem']" in " ".join(made.notes)
    put(folder, "plain.txt")
    assert files(build_bundle(path, include=["**"])) == ["plain.txt"]
    assert files(build_bundle(path, include=[".env", "link.txt"])) == [".env", "link.txt"]


def test_include_and_exclude_decide(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "data/1.csv", "data/deep/2.csv", "data/deep/3.txt", "weights.bin")
    path = save(tmp_path / "n.ipynb", "import a; 'weights.bin'")
    assert files(build_bundle(path, include=["data/**/*.csv"])) == [
        *("a.py", "data/1.csv", "data/deep/2.csv", "weights.bin")
    ]
    assert files(build_bundle(path, include="data", exclude=["data/deep", "*.bin"])) == [
        *("a.py", "data/1.csv")
    ]
    assert files(build_bundle(path, exclude=["**"])) == []


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "nothing/*.csv", "nothing.csv", ""])
def test_an_include_that_names_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(BundleRejected):
        build_bundle(save(tmp_path / "n.ipynb", "1"), include=[pattern])


def test_large_data_is_only_taken_when_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(101 * 2**20)
    path = save(tmp_path / "n.ipynb", "open('big.bin')")
    made = build_bundle(path)
    assert files(made) == [] and "exceeds 100 MB" in made.notes[0]
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(501 * 2**20)
    with pytest.raises(TooLarge, match="limit of 500 MB"):
        build_bundle(path, include=["big.bin"])


def test_installed_packages_become_requirements(tmp_path: Path) -> None:
    put(tmp_path, "tools.py", content="import msgspec")
    path = save(
        tmp_path / "n.ipynb", "import json, tools, easymlnb\nfrom PIL import Image\nimport nowhere"
    )
    made = build_bundle(path)
    assert made.manifest.requirements == (
        f"msgspec=={version('msgspec')}",
        f"pillow=={version('pillow')}",
    )
    assert made.manifest.environment.packages["pillow"] == version("pillow")
    assert len(made.notes) == 1 and "'nowhere'" in made.notes[0]


def test_a_requirements_file_beside_the_notebook_counts(tmp_path: Path) -> None:
    put(
        tmp_path,
        "requirements.txt",
        content="# ours\nnumpy>=1  # why\n\n-r more.txt\nhttpx[http2]\nm @ https://h/#egg=m\n",
    )
    path = save(tmp_path / "n.ipynb", "import msgspec")
    made = build_bundle(path)
    assert made.manifest.requirements == ("numpy>=1", "httpx[http2]", "m @ https://h/#egg=m")
    assert "'-r more.txt'" in made.notes[0]
    assert "numpy" in made.manifest.environment.packages
    assert build_bundle(path, requirements=["a==1"]).manifest.requirements == ("a==1",)
    put(tmp_path, "other.txt", content="b==2\n")
    assert build_bundle(path, requirements=tmp_path / "other.txt").manifest.requirements == (
        "b==2",
    )
    with pytest.raises(BundleRejected, match=r"gone\.txt"):
        build_bundle(path, requirements=tmp_path / "gone.txt")
    with pytest.raises(BundleRejected, match="Invalid requirement"):
        build_bundle(path, requirements=["a\nb"])


def test_the_git_commit_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    path = save(tmp_path / "n.ipynb", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert build_bundle(path).manifest.environment.commit == ""

    def git(*arguments: str) -> str:
        told = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        done = subprocess.run(told, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    clean = build_bundle(path)
    assert clean.manifest.environment.commit == git("rev-parse", "HEAD")
    assert not clean.manifest.environment.dirty
    content = path.read_text()
    path.write_text(content + "\n")
    dirty = build_bundle(path)
    assert dirty.manifest.environment.dirty
    assert dirty.id == clean.id
    monkeypatch.setenv("PATH", "")
    assert build_bundle(path).manifest.environment.commit == ""


def test_what_is_not_a_notebook_is_refused_with_a_sentence(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "bad.ipynb", "list.ipynb", "object.ipynb", "deep.ipynb", "new.ipynb")
    put(tmp_path, "list.ipynb", content="[]")
    put(tmp_path, "object.ipynb", content="{}")
    put(tmp_path, "deep.ipynb", content="[" * 100_000)
    put(tmp_path, "new.ipynb", content='{"nbformat": 5, "cells": []}')
    put(tmp_path, "old.ipynb", content='{"nbformat": 2, "worksheets": 5}')
    (tmp_path / "binary.ipynb").write_bytes(b"\xff\xfe\x00\xd8")
    (tmp_path / "folder.ipynb").mkdir()
    for name, sentence in [
        ("gone.ipynb", "There is no notebook"),
        ("folder.ipynb", "not a file"),
        ("a.txt", r"does not end with \.ipynb"),
        ("bad.ipynb", "is not valid JSON"),
        ("binary.ipynb", "is not valid JSON"),
        ("deep.ipynb", "is not valid JSON"),
        ("list.ipynb", "not a notebook"),
        ("object.ipynb", "not a notebook"),
        ("new.ipynb", "nbformat 4"),
        ("old.ipynb", "old nbformat 2"),
        ("x\x00.ipynb", "There is no notebook"),
    ]:
        with pytest.raises(BundleRejected, match=sentence):
            build_bundle(tmp_path / name)


def test_a_notebook_outside_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = save(tmp_path / "n.ipynb", "1")
    (root / "link.ipynb").symlink_to(path)
    for way in (path, root / "../n.ipynb", root / "link.ipynb"):
        with pytest.raises(BundleRejected, match="outside"):
            build_bundle(way, root=root)
    assert build_bundle(save(root / "in.ipynb", "1"), root=root).id


def test_a_notebook_of_200_mb_is_refused_but_large_outputs_are_fine(tmp_path: Path) -> None:
    with (tmp_path / "huge.ipynb").open("wb") as file:
        file.truncate(200 * 2**20 + 1)
    with pytest.raises(TooLarge, match="limit of 200 MB"):
        build_bundle(tmp_path / "huge.ipynb")
    loud = cell("1") | {"outputs": [{"output_type": "stream", "text": "x" * (2 * 2**20)}]}
    assert len(build_bundle(save(tmp_path / "loud.ipynb", loud)).data) < 10_000


def test_another_language_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb", "1", metadata={"language_info": {"name": "R"}})
    with pytest.raises(BundleRejected, match="language is R"):
        build_bundle(path)


def test_an_old_notebook_is_upgraded(tmp_path: Path) -> None:
    old_cell = {"cell_type": "code", "input": "x = 1", "language": "python", "outputs": []}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "n"}}
    old["worksheets"] = [{"cells": [old_cell], "metadata": {}}]
    (tmp_path / "n.ipynb").write_text(json.dumps(old))
    assert (
        open_bundle(build_bundle(tmp_path / "n.ipynb").data).notebook["cells"][0]["source"]
        == "x = 1"
    )


def test_names_of_services_are_read_from_the_code() -> None:
    code = read_cells(
        [
            cell("@ml.service\nasync def _Roll(): ..."),
            cell("@service(name='cast', tags=['a'])\ndef f(): ...\n@f.view\ndef v(): ..."),
            cell("@ml.service(name=NAME)\ndef g(): ...\n@other\ndef h(): ..."),
        ]
    )
    assert code.services == ("roll", "cast")


def test_trainings_are_services_whose_gpus_workers_do_not_need() -> None:
    code = read_cells([cell("@ml.train(model='m', gpu=2)\ndef fit(): ...")])
    assert code.services == ("fit",) and code.gpu == 0


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("'a'", "a"),
        ("Path('a') / 'b' / 'c'", "a/b/c"),
        ("os.path.join('a', 'b')", "a/b"),
        ("Path(here) / 'b'", None),
        ("f'{x}.csv'", None),
        ("3 / 4", None),
        ("', '.join(names)", None),
        ("os.path.join(os.pardir, 'a')", "../a"),
        ("Path.cwd().parent / 'a'", "./../a"),
        ("Path().resolve() / 'a'", "./a"),
        ("'a' + '/b'", "a/b"),
        ("f'{str(1)}/b'", None),
        ("x.parents[y]", None),
    ],
)
def test_paths_are_put_together_when_all_of_them_is_known(source: str, expected: str) -> None:
    tree = parse(source)
    assert tree is not None
    assert path_text(tree.body[0].value) == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a.csv", "*.csv", True),
        ("d/a.csv", "*.csv", False),
        ("d/a.csv", "**/*.csv", True),
        ("a.csv", "**/*.csv", True),
        ("d/e/a.csv", "d", True),
        ("d/e/a.csv", "d/", True),
        ("d/e/a.csv", "./d/**", True),
        ("da/a.csv", "d", False),
        ("a+b.csv", "a+b.csv", True),
        ("aab.csv", "a+b.csv", False),
        ("a1.csv", "a?.csv", True),
    ],
)
def test_patterns(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, [pattern]) is expected


@pytest.mark.parametrize("path", ["tokenizer.json", "keys.csv", "secrets.py", "monkey.png"])
def test_ordinary_names_are_not_taken_for_secrets(path: str) -> None:
    assert not is_private(path)
