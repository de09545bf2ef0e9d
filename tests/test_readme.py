"""The code blocks of both READMEs and of the documentation run, and print what they say they print."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    if "```python" in page.read_text(encoding="utf-8")
)


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def promised(page):
    """What the comments behind print(...), and the blocks of text behind those of code, say will be printed."""
    lines = []
    text = (ROOT / page).read_text(encoding="utf-8")
    for kind, block in re.findall(r"```(python|text)\n(.*?)```", text, re.DOTALL):
        if kind == "text":
            lines += block.splitlines()
        else:
            lines += [m.group(1).strip() for m in re.finditer(r"^\s*print\(.*\)\s+# (.+)$", block, re.MULTILINE)]
    return lines


def without_rounding(lines):
    """The lines without numbers such as 3.1e-15: they are rounding errors, which depend on the C library."""
    return [re.sub(r"\d(\.\d+)?e-\d\d", "#", line) for line in lines]


def test_both_readmes_have_code():
    assert {"README.md", "README.zh-CN.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_the_page_runs_and_prints_what_it_says(page, tmp_path):
    code = "\n".join(python_blocks(page))
    for package in ("sklearn", "scipy"):  # what `glassgrad[demo]` and `glassgrad[sparse]` bring along
        if package in code:
            pytest.importorskip(package)
    if "plots" in code:
        pytest.importorskip("matplotlib")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert without_rounding(done.stdout.splitlines()) == without_rounding(promised(page))


def test_the_two_readmes_show_the_same_code():
    strip = lambda block: re.sub(r"\s*#.*", "", block)  # noqa: E731
    assert [strip(b) for b in python_blocks("README.md")] == [strip(b) for b in python_blocks("README.zh-CN.md")]


def test_the_chinese_table_is_in_chinese():
    page = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    table = page.partition("<!-- bench:zh -->")[2].partition("<!--")[0]
    assert "目标" in table
    assert re.findall(r"\b(op|bytes|goal|missed|cores|load|before|compiled)\b", table) == []


def test_the_page_of_the_package_has_no_links_that_need_a_checkout():
    page = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["readme"]
    links = re.findall(r"\]\(([^)]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "docs/compile.md", "docs/derivatives.md"]
)
def test_links_into_the_repository_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links or page == "CONTRIBUTING.md"
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
