"""The command `glassgrad`: reads the arguments, calls the verb, turns what went wrong into one line and an exit code.

Exit codes: 0 done; 1 not, or not all of it, and a line on standard error or in the summary says why; 2 the command was
written wrongly; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ._build import COMPILED, __version__
from .errors import GlassgradError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default the process's own, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a path or label that the terminal cannot show is no reason to stop
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.verb is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        from . import demo  # here: `glassgrad --version` needs none of it

        code = demo.run(given.output, seed=given.seed, lang=given.lang)
        sys.stdout.flush()
    except GlassgradError as error:
        print(f"glassgrad {given.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as in `glassgrad demo | head -1`
        _silence(sys.stdout)
        return 1
    except OSError as error:  # such as a full disk below standard output
        _silence(sys.stdout)
        print(f"glassgrad {given.verb}: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glassgrad",
        description="An autograd engine you can see through.",
        epilog="glassgrad VERB --help tells about one verb.",
    )
    build = "compiled" if COMPILED else "interpreted"
    parser.add_argument("--version", action="version", version=f"glassgrad {__version__} ({build})")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    demo = verbs.add_parser(
        "demo",
        help="train a real classifier and leave pictures behind",
        description="Differentiate, fit and train three small things in a few seconds, and draw each of them: "
        "c = a·b² with its local derivatives, a line through noisy points, and micrograd's two moons.",
        epilog="Needs scikit-learn and matplotlib for all of it: pip install 'glassgrad[demo]'.",
    )
    demo.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=_folder,
        default=Path("demo_output"),
        help="folder to write into (%(default)s)",
    )
    demo.add_argument("--seed", metavar="N", type=_seed, default=1337, help="seed of data and weights (%(default)s)")
    demo.add_argument("--lang", choices=["en", "zh"], help="language of the summary (that of the environment)")
    return parser


def _silence(stream: TextIO) -> None:
    """What cannot be written any more is dropped, so that the flush at exit does not fail once again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a folder needs a name; write . for the current one")
    return Path(text)


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32:  # what NumPy takes
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to {2**32 - 1}")
    return seed
