"""The command line: what ``rushlight run`` gives a program is what ``python`` gives it, plus ``import torch``."""

import zipfile

import pytest
from processes import run_python, rushlight

REPORT = """
import json, sys
print(json.dumps([__name__, globals().get("__file__"), sys.argv, sys.path[0], __package__,
                  getattr(__spec__, "name", None), sys.modules["__main__"].__dict__ is globals()]))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "report.py").write_text(REPORT)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(REPORT)
    (tmp_path / "package" / "inner.py").write_text(REPORT)
    (tmp_path / "application").mkdir()
    (tmp_path / "application" / "__main__.py").write_text(REPORT)
    with zipfile.ZipFile(tmp_path / "application.zip", "w") as archive:
        archive.writestr("__main__.py", REPORT)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["report.py", "--epochs", "3", "--", "-m", "x", "--help"],
        ["-", "a", "--version"],
        ["-c", REPORT, "-m", "--help", "--"],
        ["-m", "report", "-c", "--help"],
        ["-m", "package", "--", "x"],
        ["-m", "package.inner"],
        ["application", "x"],
        ["application.zip", "-v"],
    ],
    ids=lambda arguments: " ".join(arguments[:2])[:20].replace("\n", ""),
)
def test_a_program_sees_what_python_shows_it(folder, arguments):
    ours = rushlight("run", *arguments, cwd=folder, stdin=REPORT)
    python = run_python(*arguments, cwd=folder, stdin=REPORT)
    assert python.returncode == 0 and python.stdout
    assert (ours.stdout, ours.stderr, ours.returncode) == (python.stdout, python.stderr, python.returncode)


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    return 1 / 0\nf()",
        "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')",
        "x =",
        "import sys\nsys.exit(7)",
        "import sys\nsys.exit('some words')",
        "import sys\nsys.excepthook = lambda kind, value, tb: print('hook', value, tb.tb_lineno)\n1 / 0",
        "import atexit, threading, time\natexit.register(print, 'bye')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('late', __name__))).start()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(9)",
    ],
    ids=lambda code: code.splitlines()[-1][:24],
)
def test_endings_are_pythons(tmp_path, code):
    """Output, traceback and exit status, to the letter: no frame of the command shows."""
    (tmp_path / "program.py").write_text(code)
    ours, python = (run(*words, cwd=tmp_path) for run, words in ENDS)
    assert (ours.stdout, ours.stderr, ours.returncode) == (python.stdout, python.stderr, python.returncode)


ENDS = [(rushlight, ("run", "program.py")), (run_python, ("program.py",))]


def test_the_program_finds_torch_and_itself(tmp_path):
    (tmp_path / "helper.py").write_text("import torch\nNAME = torch.__name__\n")
    (tmp_path / "program.py").write_text(
        "import inspect, pickle\n"
        "import torch, torch.nn as nn\n"
        "import helper\n"
        "class Net(nn.Module):\n"
        "    pass\n"
        "assert helper.NAME == torch.__name__ == 'rushlight'\n"
        "assert pickle.loads(pickle.dumps(Net)) is Net and Net.__module__ == '__main__'\n"
        "assert inspect.getsource(Net) == 'class Net(nn.Module):\\n    pass\\n'\n"
        "print(type(nn.Linear(2, 2)))\n"
    )
    done = rushlight("run", "program.py", cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("<class 'torch.nn.modules.linear.Linear'>\n", 0), done.stderr


def test_a_missing_module_of_torch_shows_only_the_program(tmp_path):
    (tmp_path / "program.py").write_text("import torch.no_such_module\n")
    done = rushlight("run", "program.py", cwd=tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{tmp_path / "program.py"}", line 1, in <module>'
    ]
    assert lines[-1].startswith("ModuleNotFoundError: No module named 'torch.no_such_module': rushlight")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.py"], 2, "rushlight: can't open file '{0}/nowhere.py': [Errno 2] No such file or directory"),
        (["empty"], 1, "rushlight: can't find '__main__' module in '{0}/empty'"),
        (["-m", "nowhere_at_all"], 1, "rushlight: No module named nowhere_at_all"),
        (["-m", "empty"], 1, "rushlight: No module named empty.__main__; 'empty' is a package and cannot be directly"),
        (["-m", "nowhere.inner"], 1, "rushlight: Error while finding module specification for 'nowhere.inner'"),
    ],
)
def test_programs_that_are_not_there(tmp_path, arguments, status, message):
    (tmp_path / "empty").mkdir()
    if arguments[0] == "-m":
        (tmp_path / "empty" / "__init__.py").write_text("")
    done = rushlight("run", *arguments, cwd=tmp_path)
    assert done.returncode == status and done.stdout == ""
    assert done.stderr.startswith(message.format(tmp_path))


def test_help_and_version():
    bare, asked = rushlight(), rushlight("--help")
    assert bare.returncode == asked.returncode == 0
    assert bare.stdout.strip() == asked.stdout.strip() and "run" in bare.stdout
    assert "MODULE" in rushlight("run", "--help").stdout
    version = rushlight("--version")
    assert version.returncode == 0 and version.stdout.startswith("rushlight 0.")
    assert "torch 2.13.0" in version.stdout and "jax" in version.stdout


def test_wrong_use():
    nothing, unknown = rushlight("run"), rushlight("run", "--fast", "x.py")
    assert nothing.returncode == 2 and "SCRIPT" in nothing.stderr
    assert unknown.returncode == 2 and "--fast" in unknown.stderr


def test_the_program_pays_for_no_command_line():
    """Importing rushlight itself loads neither typer nor rich."""
    done = run_python("-c", "import rushlight, sys; print({'typer', 'rich'} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr
