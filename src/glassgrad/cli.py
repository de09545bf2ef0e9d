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
    given = _parsed(parser, list(sys.argv[1:] if arguments is None else arguments))
    if given.verb is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        code = _run(given)
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


def _run(given: argparse.Namespace) -> int:
    """Call the verb, each of which is imported here: `glassgrad --version` needs none of them."""
    if given.verb == "draw":
        from . import draw

        return draw.run(given)
    from . import demo

    return demo.run(given.output, seed=given.seed, lang=given.lang)


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The arguments, of which two kinds are beyond argparse: expressions such as -x**2, and values behind options."""
    if arguments[:1] == ["draw"]:
        for i, text in enumerate(arguments):
            option = text in ("-", "-h") or text.startswith(("-o", "--")) or arguments[i - 1] in ("-o", "--output")
            if text.startswith("-") and not option:
                arguments[i] = f" {text}"  # what starts with a space is no option
    given, rest = parser.parse_known_args(arguments)
    if given.verb == "draw" and not any(text.startswith("-") for text in rest):
        given.values += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return given


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
    _add_draw(verbs)
    return parser


def _add_draw(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    draw = verbs.add_parser(
        "draw",
        help="draw and explain an expression, such as 'a*b**2 + sin(c)' a=2 b=3 c=1",
        description="Evaluate an expression, differentiate it, and print it as a tree, explain a derivative or write a "
        "picture of it. It may have + - * / **, parentheses, names, pi, e, glassgrad's functions, and names for "
        "intermediate results: 'h = a*b; tanh(h) + c'.",
        epilog="Example: glassgrad draw 'a*b**2 + sin(c)' a=2 b=3 c=pi/4 -o out.html",
    )
    draw.add_argument("expression", metavar="EXPRESSION", help="what to draw, in quotes")
    draw.add_argument("values", metavar="NAME=NUMBER", nargs="*", help="a value for each name in it")
    draw.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write .svg, .png, .pdf, .dot, .html, .gif or .json; - writes to the pipe",
    )
    formats = ["svg", "png", "pdf", "dot", "html", "gif", "json"]
    draw.add_argument("--format", choices=formats, help="what to write (what the file's name ends in; svg for -)")
    draw.add_argument("--tree", action="store_true", help="print the tree; without -o and --explain it always is")
    draw.add_argument(
        "--explain", metavar="NAME", action="append", default=[], help="print where the derivative by NAME comes from"
    )
    draw.add_argument("--partials", action="store_true", help="write the local derivatives on the picture's edges")
    draw.add_argument("--animate", action="store_true", help="let an .svg or .gif run forward, then backward")
    draw.add_argument("--no-backward", action="store_true", help="compute no gradients")
    draw.add_argument("--rankdir", choices=["LR", "TB"], help="from left to right (as it is) or from top to bottom")
    draw.add_argument("--lang", choices=["en", "zh"], help="language of what is printed (that of the environment)")


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
