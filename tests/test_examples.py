"""The examples as their reader runs them, against plain Python scalars, NIST's numbers and SciPy's ODE solver."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import BUILDS, environment
from scipy import integrate, optimize

NAMES = ["anna", "ella", "emma", "hanna", "leah", "maria", "mia", "nora", "sara", "una"]


@pytest.fixture
def example(root):
    return root / "examples" / "names_gpt.py"


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES * 3) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture
def programs(root, monkeypatch):
    """bench/programs.py, which runs the example on other libraries."""
    monkeypatch.syspath_prepend(root / "bench")
    import programs

    return programs


def run(example, *args, cwd):
    command = [sys.executable, str(example), *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)


# ---- running it ----------------------------------------------------------------------------------------------------


def test_in_a_pipe_from_another_folder_it_learns_and_invents(example, names, tmp_path):
    done = run(example, names, "--steps", 80, "--samples", 7, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, *lines = done.stdout.splitlines()
    assert (first, second) == ("30 documents, 12 tokens, 3,712 parameters", "compiling ...")
    losses = [float(found[1]) for line in lines if (found := re.match(r"step +\d+ of 80   loss ([\d.]+)", line))]
    assert len(losses) == 11
    assert losses[-1] < 0.85 * losses[0]
    invented = lines[len(losses) :]
    assert len(invented) == 7
    assert set("".join(invented)) <= set("".join(NAMES))
    assert "\x1b" not in done.stdout


def test_without_a_file_it_reads_the_shared_names(example, shared, tmp_path):
    done = run(example, "--steps", 2, "--samples", 1, cwd=tmp_path)
    assert done.stdout.startswith("32,033 documents, 27 tokens, 4,192 parameters\n")


def test_the_same_seed_invents_the_same_and_another_does_not(example, names, tmp_path):
    first, second, other = (
        run(example, names, "--steps", 3, "--seed", seed, cwd=tmp_path).stdout for seed in (1, 1, 2)
    )
    without_times = [re.sub(r" +[\d.]+ s$", "", text, flags=re.MULTILINE) for text in (first, second, other)]
    assert without_times[0] == without_times[1] != without_times[2]


def test_every_size_can_be_chosen(example, names, tmp_path):
    sizes = ["--layers", 2, "--width", 6, "--heads", 3, "--context", 3, "--batch", 4]
    done = run(example, names, *sizes, "--steps", 2, "--temperature", 2, "--lr", 0.1, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    parameters = 2 * 12 * 6 + 3 * 6 + 2 * 12 * 6 * 6
    assert f"{parameters:,} parameters" in done.stdout
    # all but mia and una
    assert done.stdout.splitlines()[1] == "24 of 30 documents are longer than 3 characters and are cut (--context)"
    assert all(len(name) <= 3 for name in done.stdout.splitlines()[5:])


def test_without_numpy_it_says_so_and_trains_eagerly(example, names, tmp_path):
    arguments = [str(example), str(names), "--steps", "10", "--samples", "2", "--seed", "5"]
    code = (
        f"import runpy, sys; sys.modules['numpy'] = None; sys.argv = {arguments}; "
        "runpy.run_path(sys.argv[0], {}, '__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said, *rest = done.stdout.splitlines()[1:]
    assert said.startswith("compiling needs NumPy (pip install numpy)")
    eager = run(example, *arguments[1:], "--eager", cwd=tmp_path).stdout.splitlines()[1:]
    without_times = [[re.sub(r" +[\d.]+ s$", "", line) for line in lines] for lines in (rest, eager)]
    assert without_times[0] == without_times[1]
    assert len(eager) == 12


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n \n", b"\xff\xfe\x00n", b"\x7fELF\0\0"],
    ids=["missing", "empty", "blank", "binary", "zeros"],
)
def test_a_file_it_cannot_use_is_named_without_a_traceback(example, tmp_path, content):
    path = tmp_path / "given.txt"
    if content is not None:
        path.write_bytes(content)
    done = run(example, path, cwd=tmp_path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "one document a line" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_shared_names_it_says_what_to_give(example, tmp_path):
    alone = tmp_path / "a" / "b" / example.name
    alone.parent.mkdir(parents=True)
    shutil.copy(example, alone)
    done = run(alone, cwd=tmp_path)
    assert done.returncode == 1
    assert f"python {alone} FILE" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--width", 10, "--heads", 4], "--width 10 must be a multiple of --heads 4"),
        (["--temperature", 0], "--temperature: '0' is not a number from 0.01 to 100.0"),
        (["--temperature", "inf"], "--temperature: 'inf' is not a number"),
        (["--context", 0], "--context: '0' is not a whole number from 1 to 1000000"),
        (["--steps", "many"], "--steps: 'many' is not a whole number"),
        (["--steps", -2], "--steps: '-2' is not a whole number from 0"),
        (["--samples", "2.5"], "--samples: '2.5' is not a whole number"),
        (["--lr", "nan"], "--lr: 'nan' is not a number"),
        (["--lr", -1], "--lr: '-1' is not a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(example, names, tmp_path, options, reason):
    done = run(example, names, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's")
def test_ctrl_c_ends_the_training_and_still_invents(example, names, tmp_path):
    command = [sys.executable, str(example), str(names), "--steps", "1000000", "--samples", "3"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert process.stdout.readline() == "compiling ...\n"
        assert process.stdout.readline().startswith("step     1 of 1000000")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[0].startswith("stopped")
    assert len(out.splitlines()) == 4


@pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's")
def test_ctrl_c_while_inventing_leaves_the_names_so_far(example, names, tmp_path):
    command = [sys.executable, str(example), str(names), "--steps", "0", "--samples", "1000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert process.stdout.readline()  # a name
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def test_a_reader_that_goes_away_is_no_error(example, names, tmp_path):
    command = [sys.executable, str(example), str(names), "--steps", "0", "--samples", "1000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's")
def test_in_a_terminal_a_bar_shows_the_loss(example, names, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, str(example), str(names), "--steps", "20", "--samples", "1"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not some:
                break
            shown += some
    os.close(ours)
    assert process.returncode == 0
    assert "━" in shown.decode()
    assert "20/20" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode())
    assert b"step " not in shown
    assert b"compiling ..." in shown


# ---- against plain Python scalars ----------------------------------------------------------------------------------


def test_losses_and_gradients_equal_those_of_plain_python_scalars(gg, programs):
    ours, peer = (programs.names_gpt(library) for library in (gg.__name__, "plain"))
    models = [program.GPT(7, width=8, heads=2, layers=1, context=6, seed=3) for program in (ours, peer)]
    optimizers = [
        program.Adam(model.weights, lr=0.05, betas=(0.85, 0.99))
        for program, model in zip((ours, peer), models, strict=True)
    ]
    for tokens in ([6, 0, 1, 2, 6], [6, 3, 3, 3, 4, 5, 0, 1, 2, 6], [6, 6]):  # the second is longer than the context
        losses = []
        for program, model, optimizer in zip((ours, peer), models, optimizers, strict=True):
            optimizer.zero_grad()
            loss = model.loss(*program.guesses(tokens, model.context, pad=False))
            loss.backward()
            losses.append(loss.data)
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        gradients = [[weight.grad for weight in model.weights] for model in models]
        assert gradients[0] == pytest.approx(gradients[1], rel=1e-9, abs=1e-12)
        assert math.hypot(*gradients[0]) > 1e-3
        for optimizer in optimizers:
            optimizer.step()
    weights = [[weight.data for weight in model.weights] for model in models]
    assert weights[0] == pytest.approx(weights[1], rel=1e-9, abs=1e-9)


def test_a_dot_product_written_out_gives_the_same(gg, programs):
    import plain

    ours, written_out = (programs.names_gpt(gg.__name__, dot) for dot in (None, plain.dot))
    losses = [
        program.GPT(7, width=8, heads=2, seed=3).loss([6, 0, 1, 2, 6], [0.25] * 4).data
        for program in (ours, written_out)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
def test_compiled_it_learns_what_it_learns_eagerly(gg, programs, batch):
    program = programs.names_gpt(gg.__name__)
    tokenizer = program.Tokenizer(NAMES)
    documents = [tokenizer.encode(name) for name in [*NAMES, "hannamaria"]]  # the last is longer than the context
    losses = []
    for eager in (True, False):
        model = program.GPT(tokenizer.size, width=6, heads=2, context=5, seed=3)
        losses.append(list(program.train(model, documents, 50, 0.02, batch, eager)))
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
    assert len(losses[0]) == 50
    assert losses[0][-1] < 0.9 * losses[0][0]


def test_no_token_is_guessed_from_what_comes_after_it(gg, programs):
    program = programs.names_gpt(gg.__name__)
    model = program.GPT(7, width=8, heads=2, seed=3)

    def first_logits(tokens):
        pasts = model.start()
        return [[logit.data for logit in model(token, pasts)] for token in tokens]

    assert first_logits([6, 0, 1, 2])[:2] == first_logits([6, 0, 5, 3])[:2]
    assert first_logits([6, 0, 1])[2] != first_logits([6, 2, 1])[2]


# ---- regression and ode: fits of real data -------------------------------------------------------------------------

FITS = ["regression", "ode"]
WITHOUT = """
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ImportError(f"{{name}} is not there, says the test")
sys.meta_path.insert(0, Blocked())
sys.argv = [{path!r}]
runpy.run_path({path!r}, run_name="__main__")
"""


def fitted(root, name, *options, cwd, build="compiled"):
    command = [sys.executable, str(root / "examples" / f"{name}.py"), *map(str, options)]
    return subprocess.run(
        command, cwd=cwd, env=environment(build) | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, text=True,
        encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("build", BUILDS)
def test_the_regression_is_right_to_the_digits_that_nist_certifies(root, tmp_path, build, start):
    pytest.importorskip("matplotlib")
    done = fitted(root, "regression", "--start", start, cwd=tmp_path, build=build)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [list(map(float, line.split()[1:])) for line in done.stdout.splitlines() if re.match(r"b\d ", line)]
    assert len(rows) == 7
    for estimate, certified, digits, error, certified_error, error_digits in rows:
        assert estimate == pytest.approx(certified, rel=1e-10)
        assert error == pytest.approx(certified_error, rel=1e-10)
        assert 10 <= digits <= 11
        assert 10 <= error_digits <= 11
    assert (tmp_path / "regression.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("build", BUILDS)
def test_the_fit_through_runge_kutta_is_that_through_scipys_solver(root, tmp_path, monkeypatch, build):
    pytest.importorskip("matplotlib")
    done = fitted(root, "ode", "--plot", "there.svg", cwd=tmp_path, build=build)
    assert (done.returncode, done.stderr) == (0, "")
    assert "derivatives of 42 outputs by 6 inputs agree" in done.stdout
    assert (tmp_path / "there.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert len(list(tmp_path.iterdir())) == 1

    monkeypatch.syspath_prepend(root / "examples")
    import ode

    def residuals(logs):
        a, b, c, d, *start = np.exp(logs)
        course = integrate.solve_ivp(
            lambda _, y: [(a - b * y[1]) * y[0], (d * y[0] - c) * y[1]], (0, 20), start, "DOP853", range(21),
            rtol=1e-10, atol=1e-10,
        )  # fmt: skip
        return np.log(course.y).ravel() - np.log([*ode.HARES, *ode.LYNX])

    found = optimize.least_squares(residuals, np.log(list(ode.UNKNOWNS.values())), "3-point", xtol=1e-10)
    errors = np.sqrt(2 * found.cost / 36 * np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    rows = [tuple(map(float, match)) for match in re.findall(r"([\d.]+) ± ([\d.]+)$", done.stdout, re.MULTILINE)]
    for (value, error), log, log_error in zip(rows, found.x, errors, strict=False):
        assert value == pytest.approx(np.exp(log), rel=1e-4, abs=6e-5)  # printed to four decimals
        assert error == pytest.approx(np.exp(log) * log_error, rel=1e-3, abs=6e-5)
    assert len(rows) == 7
    assert rows[6][0] == pytest.approx(2 * math.pi / math.exp((found.x[0] + found.x[2]) / 2), rel=1e-4)


@pytest.mark.parametrize("name", FITS)
def test_a_fit_prints_the_same_each_time(root, tmp_path, name):
    first, second = (fitted(root, name, cwd=tmp_path) for _ in range(2))
    assert first.stdout == second.stdout != ""


@pytest.mark.parametrize("name", FITS)
def test_a_fit_without_scipy_says_what_to_install(root, tmp_path, name):
    code = WITHOUT.format(package="scipy", path=str(root / "examples" / f"{name}.py"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.endswith("pip install scipy\n")


@pytest.mark.parametrize("name", FITS)
def test_a_fit_without_matplotlib_prints_all_the_same(root, tmp_path, name):
    code = WITHOUT.format(package="matplotlib", path=str(root / "examples" / f"{name}.py"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment("compiled") | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nno picture without matplotlib: pip install matplotlib\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "code", "reason"),
    [
        ("regression", ["--start", 3], 2, "--start: invalid choice: 3"),
        ("ode", ["--steps", 0], 2, "--steps 0 is not a whole number from 1 to 1000"),
        ("ode", ["--steps", "few"], 2, "--steps: invalid int value: 'few'"),
        ("regression", ["--plot", "nowhere/fit.png"], 1, "regression: cannot write nowhere"),
        ("ode", ["--plot", "fit.text"], 1, "ode: cannot write fit.text: Format 'text' is not supported"),
    ],
)
def test_a_fit_refuses_what_makes_no_sense(root, tmp_path, name, options, code, reason):
    pytest.importorskip("matplotlib")
    done = fitted(root, name, *options, cwd=tmp_path)
    assert done.returncode == code
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", FITS)
def test_a_fit_whose_reader_goes_away_ends_quietly(root, tmp_path, name):
    command = [sys.executable, str(root / "examples" / f"{name}.py")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


# ---- watching.py ---------------------------------------------------------------------------------------------------


def test_watching_learns_and_leaves_a_page_and_an_animation(root, tmp_path):
    done = run(root / "examples" / "watching.py", "--steps", 60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    right, of, steps = map(int, re.match(r"(\d+) of (\d+) points right after (\d+) steps", done.stdout).groups())
    assert (of, steps) == (60, 60)
    assert right > 50
    assert "∂out/∂w1 = 1" in done.stdout
    page = (tmp_path / "watching.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert '"steps":[0,1,2' in page
    assert "prefers-reduced-motion" in (tmp_path / "neuron.svg").read_text(encoding="utf-8")


def test_watching_says_where_it_cannot_write(root, tmp_path):
    (tmp_path / "file").touch()
    done = run(root / "examples" / "watching.py", "--steps", 1, "--folder", tmp_path / "file" / "in", cwd=tmp_path)
    assert done.returncode == 1
    assert "watching: cannot write" in done.stderr
