"""`glassgrad draw`: an expression and values for its names, drawn, explained or printed as a tree.

Guarantees: the expression is read by `expression`, never run as Python; what cannot be drawn is refused before a file
is touched; standard output carries what was asked for and nothing else, so that it can be piped.
"""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from . import sweep
from .engine import Value
from .errors import GlassgradError, NonFiniteError
from .expression import Expression, ExpressionError, constant, parse, shown_text
from .files import can_replace, write_whole
from .graph import Graph

__all__ = ["FORMATS", "run"]

PICTURES: Final = ("svg", "png", "pdf", "dot")  # what draw_dot makes
FORMATS: Final = (*PICTURES, "html", "gif", "json")
PIPED: Final = ("svg", "dot", "json")  # text, which standard output may carry
MAX_NODES: Final = 20_000  # ten times what draw_dot draws unasked: here a file was asked for

TEXTS: Final = {
    "en": {
        "wrote": "wrote {path}",
        "hint": "-o out.svg writes a picture, -o out.html a page to step through; glassgrad draw --help tells more.",
    },
    "zh": {
        "wrote": "已写入 {path}",
        "hint": "-o out.svg 保存为图片，-o out.html 保存为可逐步演示的网页；更多选项见 glassgrad draw --help。",
    },
}


class UsageError(GlassgradError):
    """The command was written wrongly."""


def run(asked: Namespace) -> int:
    """Do what the arguments of `glassgrad draw` ask for, and return the exit code."""
    try:
        form = _form(asked)
        _check(asked, form)
        root = _evaluated(parse(asked.expression.strip()), asked.values, backward=not asked.no_backward)
        wanted = [(name, _labelled(root, name)) for name in asked.explain]
    except (UsageError, ExpressionError) as error:
        sys.stderr.write(f"glassgrad draw: {error}\n")
        return 2
    texts = TEXTS[asked.lang or _language()]
    printed = []
    if asked.tree or not (wanted or asked.output):
        printed.append(str(_viewer("tree").tree(root)))
    printed += [str(_viewer("explain").explain(root, value, asked.lang or _language())) for _, value in wanted]
    if printed:
        sys.stdout.write("\n\n".join([text.rstrip("\n") for text in printed]) + "\n")
        sys.stdout.flush()
    if asked.output == "-":
        _pipe(_drawn(root, form, asked))
    elif asked.output:
        path = Path(asked.output)
        _write(root, form, path, asked)
        sys.stdout.write(texts["wrote"].format(path=path) + "\n")
    elif not (wanted or asked.tree):
        sys.stderr.write(texts["hint"] + "\n")
    return 0


# ---- what was asked ------------------------------------------------------------------------------------------------


def _form(asked: Namespace) -> str:
    """The format to write: the one asked for, or the one that the file's name ends in; '' if no file is wanted."""
    if not asked.output:
        if asked.output == "":
            raise UsageError("-o needs the name of a file, or - for standard output")
        return ""
    if asked.format:
        return str(asked.format)
    if asked.output == "-":
        return "svg"
    ending = Path(asked.output).suffix[1:].lower()
    form = {"gv": "dot", "htm": "html"}.get(ending, ending)
    if form not in FORMATS:
        raise UsageError(
            f"{shown_text(asked.output)} does not say what to write: end it in .{', .'.join(FORMATS)}, or add --format"
        )
    return form


def _check(asked: Namespace, form: str) -> None:
    """Refuse options that would do nothing."""
    if not form:
        for option in ("partials", "animate", "rankdir", "format"):
            if getattr(asked, option):
                raise UsageError(f"--{option} is for a picture: add -o out.svg")
        return
    if asked.output == "-" and (asked.tree or asked.explain):
        raise UsageError("-o - leaves standard output to the picture: write it to a file, or leave out the rest")
    if asked.output == "-" and (form not in PIPED or asked.animate):
        raise UsageError(f"-o - writes {', '.join(PIPED)}: give {'an animation' if asked.animate else form} a file")
    if asked.animate and form not in ("svg", "gif"):
        raise UsageError(f"--animate writes .svg or .gif, not .{form}")
    still = form in PICTURES and not asked.animate
    if asked.partials and not still:
        what = "an animation" if asked.animate or form == "gif" else f".{form}"
        raise UsageError(f"--partials is for still pictures ({', '.join(PICTURES)}), not for {what}")
    if asked.rankdir and form in ("html", "json"):
        raise UsageError(f"--rankdir is for pictures ({', '.join(PICTURES)}, gif), not for .{form}")


def _evaluated(expression: Expression, given: Sequence[str], *, backward: bool) -> Value:
    """The expression's result for the given values, with gradients unless they are not wanted."""
    root = expression.evaluate(_values(given))
    if not root.requires_grad:
        raise UsageError(
            f"{shown_text(expression.text)} is the number {root.data:g}, with nothing to differentiate by: "
            "put a name in it, as in 'a*2' a=3"
        )
    if backward:
        try:
            root.backward()
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}\n  --no-backward draws the values without gradients") from error
    return root


def _values(given: Sequence[str]) -> dict[str, float]:
    """Values by name, from arguments such as `a=2`."""
    values: dict[str, float] = {}
    for text in given:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not equals or not (name.isascii() and name.isidentifier()):
            raise UsageError(
                f"{shown_text(text)} is no value: write name=number, behind the expression, which stands in quotes"
            )
        if name in values:
            raise UsageError(f"{shown_text(name)} has two values; give it one")
        try:
            values[name] = constant(number)
        except ExpressionError as error:
            reason = f"needs a number, as in {name}=2" if not number else str(error)
            raise UsageError(f"{shown_text(name)}: {reason}") from None
    return values


def _labelled(root: Value, name: str) -> Value:
    """The Value with this label."""
    found = {node.label: node for node in sweep.walk((root,)) if node.label}
    if name not in found:
        there = ", ".join([shown_text(label) for label in list(found)[:12]])
        raise UsageError(f"--explain: the expression has no {shown_text(name)}; it has {there}")
    return found[name]


def _language() -> str:
    from .demo import language

    return language()


# ---- writing -------------------------------------------------------------------------------------------------------


def _viewer(name: str) -> Any:
    """A module of `viz`, loaded when it is needed: no viewer may slow down what does not use it."""
    return importlib.import_module(f".viz.{name}", __package__)


def _drawn(root: Value, form: str, asked: Namespace) -> bytes:
    """The file's content, for every format that is not written by a viewer itself."""
    if form == "json":
        return Graph.of(root).to_json().encode()
    picture = _viewer("dot").draw_dot(
        root,
        format="svg" if form == "dot" else form,
        rankdir=asked.rankdir or "LR",
        partials=asked.partials,
        max_nodes=MAX_NODES,
    )
    drawn: bytes = picture.source.encode() if form == "dot" else picture.pipe()
    return drawn


def _write(root: Value, form: str, path: Path, asked: Namespace) -> None:
    animated = asked.animate or form == "gif"
    content = None if animated or form == "html" else _drawn(root, form, asked)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if animated:
            _viewer("animate").animate(root, path, lang=asked.lang or _language(), rankdir=asked.rankdir or "LR")
        elif content is None:
            _viewer("page").to_html(root, path)
        elif can_replace(path):
            write_whole(path, content)
        else:
            path.write_bytes(content)  # into a pipe or a device
    except OSError as error:
        raise GlassgradError(f"cannot write {path}: {error.strerror or error}") from None


def _pipe(content: bytes) -> None:
    """Write to standard output as it is: UTF-8, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
