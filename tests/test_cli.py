"""The command `glassgrad`: arguments, exit codes, and errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import glassgrad
from glassgrad import cli, demo

SOURCE = str(Path(glassgrad.__file__).parent.parent)
BUILD = "compiled" if glassgrad.COMPILED else "interpreted"


@pytest.fixture
def ran(monkeypatch):
    """What the verb `demo` was asked for, instead of doing it."""
    asked = []
    monkeypatch.setattr(demo, "run", lambda folder, **options: asked.append((folder, options)) or 0)
    return asked


def exit_code(*arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    return stopped.value.code


def test_version_says_which_build_runs(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"glassgrad {glassgrad.__version__} ({BUILD})\n"


def test_version_of_the_interpreted_build():
    done = subprocess.run(
        [sys.executable, "-m", "glassgrad", "--version"],
        env=os.environ | {"PYTHONPATH": SOURCE, "GLASSGRAD_PURE": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"glassgrad {glassgrad.__version__} (interpreted)\n"


def test_help_names_the_verbs_and_their_options(capsys):
    assert exit_code("--help") == 0
    assert "demo" in capsys.readouterr().out
    assert exit_code("demo", "--help") == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--output DIR", "--seed N", "--lang", "glassgrad[demo]"))


def test_without_a_verb_it_shows_help_and_fails(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: glassgrad ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--seed", "-1"], "'-1' is not an integer from 0 to 4294967295"),
        (["demo", "--seed", "4294967296"], "is not an integer from 0"),
        (["demo", "--seed", "lucky"], "'lucky' is not an integer from 0"),
        (["demo", "-o", ""], "a folder needs a name"),
        (["demo", "--lang", "fr"], "invalid choice: 'fr'"),
        (["demo", "extra"], "unrecognized arguments: extra"),
    ],
)
def test_a_command_written_wrongly_is_refused_with_the_reason(ran, capsys, arguments, reason):
    assert exit_code(*arguments) == 2
    assert reason in capsys.readouterr().err
    assert ran == []


def test_demo_gets_what_was_asked(ran):
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "-o", "there", "--seed", "7", "--lang", "zh"]) == 0
    assert ran == [
        (Path("demo_output"), {"seed": 1337, "lang": None}),
        (Path("there"), {"seed": 7, "lang": "zh"}),
    ]


def test_errors_are_one_line_without_traceback(monkeypatch, capsys):
    def fail(*_, **__):
        raise glassgrad.GlassgradError("the reason")

    monkeypatch.setattr(demo, "run", fail)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr() == ("", "glassgrad demo: the reason\n")


def test_ctrl_c_anywhere_is_130(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", stop)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_the_verbs_exit_code_is_the_commands(monkeypatch):
    monkeypatch.setattr(demo, "run", lambda *_, **__: 1)
    assert cli.main(["demo"]) == 1


def test_asking_for_the_version_loads_nothing_heavy():
    code = (
        "import sys; from glassgrad.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'rich', 'graphviz', 'matplotlib', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
