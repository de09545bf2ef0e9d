"""Compiles the extension modules; everything else about the package is in pyproject.toml.

Every ``NAME.py`` below ``src/glassgrad`` with a ``NAME.pxd`` beside it becomes one extension module of the same name,
and so does ``compiler/native.pyx``, which there is as an extension only. The environment variable GLASSGRAD_COMPILE
says what to do about it:

auto (or unset)  compile; where that fails, install pure Python, tagged as `off` tags it, and say why in one line
require          compile; where that fails, the build fails
off              do not compile: the wheel is tagged py3-none-any
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PACKAGE = Path("src/glassgrad")
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "cdivision": True,
    "auto_pickle": False,  # the classes say themselves what pickle keeps of them
}
# Contracting a * b + c into one rounding would make the two builds differ in the last bit. Nobody asks for errno or
# floating-point traps, and without them loops with roots and divisions use the vector registers.
FLAGS = {
    "msvc": ["/O2", "/fp:precise"],
    "default": ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
}
# Where there is no other build to agree with, it may.
FAST = {
    "msvc": ["/O2", "/fp:precise"],
    "default": ["-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"],
}

MODE = os.environ.get("GLASSGRAD_COMPILE") or "auto"
if MODE not in ("auto", "require", "off"):
    sys.exit(f"glassgrad: GLASSGRAD_COMPILE={MODE!r} is not understood; use 'auto', 'require' or 'off'")


def extensions() -> list[Extension]:
    """One Extension per module that has a .pxd or is a .pyx, or none where compiling is switched off."""
    if MODE == "off":
        return []
    sources = [path.with_suffix(".py") for path in PACKAGE.rglob("*.pxd") if path.with_suffix(".py").exists()]
    found = []
    for path in sorted([*sources, *PACKAGE.rglob("*.pyx")]):
        name = ".".join(path.relative_to("src").with_suffix("").parts)
        headers = [header.as_posix() for header in path.parent.glob("*.h")]
        folders = [path.parent.as_posix()] if headers else []
        found.append(Extension(name, [path.as_posix()], include_dirs=folders, depends=headers))
    return found


class BuildPy(build_py):
    def run(self) -> None:
        if self.editable_mode:  # what an earlier build left beside the sources would win over a newer .py
            for path in PACKAGE.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
                path.unlink()
        super().run()


class BuildExt(build_ext):
    def run(self) -> None:
        try:
            from Cython.Build import cythonize  # here, so that `off` and the sdist need no Cython

            self.extensions = cythonize(
                self.extensions,
                compiler_directives=DIRECTIVES,
                include_path=["src"],
                build_dir="build/cython",  # never beside the sources, where an sdist could pick the C files up
                force=True,  # a changed directive would not be noticed otherwise
            )
            for extension in self.extensions:
                extension._needs_stub = False  # finalize_options set it on the objects replaced here
            super().run()
        except (Exception, SystemExit) as error:  # Cython, setuptools and compilers each raise their own
            if MODE == "require":
                raise
            self.extensions = self.distribution.ext_modules = []
            # Its tag was decided when it began; py3-none-any is what it has become.
            self.distribution.get_command_obj("bdist_wheel").root_is_pure = True
            print(
                "glassgrad: no extension compiled, installing pure Python: same results, slower. "
                f"Reason: {reason(error)}. GLASSGRAD_COMPILE=require makes this an error.",
                file=sys.stderr,
                flush=True,
            )

    def build_extensions(self) -> None:
        for extension in self.extensions:
            flags = FAST if extension.name.endswith(".native") else FLAGS
            extension.extra_compile_args = flags.get(self.compiler.compiler_type, flags["default"])
        self.parallel = self.parallel or os.cpu_count()
        super().build_extensions()


def reason(error: BaseException) -> str:
    """Why compiling failed, on one line."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h is missing (on Debian and Ubuntu: apt install python3-dev)"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt, "build_py": BuildPy})
