"""Colours and type of the SVG pictures, for light and dark.

Every selector begins with `.glassgrad` or a class with the prefix `gg-`, so that a picture changes nothing
around it on a page. Plain colours instead of CSS variables, which resvg and other static renderers do not know.
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["STYLE", "Theme", "style"]

Theme = Literal["auto", "light", "dark"]

_LIGHT: Final = """
.glassgrad{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Inter,'Noto Sans','Helvetica Neue',Arial,sans-serif;\
font-size:12.5px;font-variant-numeric:tabular-nums}
.glassgrad text{stroke:none}
.gg-page{fill:#f8fafc}
.gg-edge{fill:none;stroke:#a3b1c6;stroke-width:1.4}
.gg-many{stroke-width:.8;stroke-opacity:.5}
.gg-head{fill:#8496b0}
.gg-block rect{fill:#14a08f;fill-opacity:.07;stroke:#14a08f;stroke-opacity:.35}
.gg-card{fill:#fff}
.gg-rim{fill:none;stroke:#d3dce8}
.gg-badge{fill:#e6ebf5}
.gg-symbol{fill:#3b4a66;text-anchor:middle;font-weight:600;font-size:12px}
.gg-sign{font-size:17px;font-weight:500}
.gg-label{fill:#0f172a;font-weight:600}
.gg-word{fill:#556278;font-size:11.5px}
.gg-data,.gg-grad{fill:#0f172a;text-anchor:end}
.gg-grad{font-size:11.5px}
.gg-small text{font-size:10.5px}
.gg-plus{fill:#1d5fc4}
.gg-minus{fill:#b8500c}
.gg-none{fill:#556278}
.gg-leaf .gg-badge{fill:#14a08f}
.gg-leaf .gg-card{fill:#f1fbf9}
.gg-leaf .gg-rim{stroke:#b5dfd8}
.gg-const .gg-card{fill:#f1f4f8}
.gg-const .gg-badge{fill:none}
.gg-const .gg-rim{stroke:#b9c5d6;stroke-dasharray:3 2.5}
.gg-const .gg-data{fill:#56657c}
.gg-root .gg-card{fill:#f5f5ff}
.gg-root .gg-badge{fill:#5457d6}
.gg-root .gg-symbol{fill:#fff}
.gg-root .gg-rim{stroke:#5457d6;stroke-width:1.8}
.gg-slope rect{fill:#f8fafc;stroke:#d3dce8}
.gg-slope text{fill:#3b4a66;font-size:11px;text-anchor:middle}
.gg-scope rect{fill:#64748b;fill-opacity:.045;stroke:#64748b;stroke-opacity:.16}
.glassgrad .gg-caption{fill:#556278;font-size:11px;\
stroke:#f3f5f9;stroke-width:3px;stroke-linejoin:round;paint-order:stroke}
.gg-legend text{fill:#556278;font-size:11.5px}
"""
_DARK: Final = """\
.gg-page{fill:#10151f}
.gg-edge{stroke:#56647c}
.gg-head{fill:#7b8aa3}
.gg-card{fill:#1a2230}
.gg-rim{stroke:#344055}
.gg-badge{fill:#2a3548}
.gg-symbol{fill:#c3cee0}
.gg-label,.gg-data,.gg-grad{fill:#e8eef7}
.gg-word,.gg-none{fill:#8d9bb2}
.gg-plus{fill:#82b4ff}
.gg-minus{fill:#ffad70}
.gg-leaf .gg-badge{fill:#2bb8a6}
.gg-leaf .gg-card{fill:#142723}
.gg-leaf .gg-rim{stroke:#27544c}
.gg-const .gg-card{fill:#161c27}
.gg-const .gg-badge{fill:none}
.gg-const .gg-rim{stroke:#47556c}
.gg-const .gg-data{fill:#a9b5c8}
.gg-root .gg-card{fill:#1e1f3d}
.gg-root .gg-badge,.gg-root .gg-rim{stroke:#7f83f7}
.gg-root .gg-badge{fill:#6063e6}
.gg-root .gg-symbol{fill:#fff}
.gg-slope rect{fill:#1a2230;stroke:#344055}
.gg-slope text{fill:#c3cee0}
.gg-scope rect{fill:#94a3b8;fill-opacity:.05;stroke:#94a3b8;stroke-opacity:.18}
.glassgrad .gg-caption{fill:#8d9bb2;stroke:#141a25}
.gg-legend text{fill:#8d9bb2}
"""
# What animations add: the edge and the card that a step is about, tags of contributions, the line below.
_MOTION_LIGHT: Final = """\
.gg-live path,.gg-glow{fill:none;stroke:#0f8577}
.gg-live path{stroke-width:2.4;stroke-opacity:.45}
.gg-live .gg-comet{stroke-width:6.5;stroke-opacity:1;stroke-linecap:round}
.gg-glow{stroke-width:2.2}
.gg-live.gg-up path,.gg-up .gg-glow{stroke:#1d5fc4}
.gg-live.gg-down path,.gg-down .gg-glow{stroke:#b8500c}
.gg-live.gg-flat path,.gg-flat .gg-glow{stroke:#64748b}
.gg-share text{font-size:11px;font-weight:600;text-anchor:middle}
.gg-share.gg-up rect{fill:#e7effc;stroke:#b4cdf3}
.gg-share.gg-up text{fill:#1a56b3}
.gg-share.gg-down rect{fill:#fdeee2;stroke:#f0c5a1}
.gg-share.gg-down text{fill:#a3470b}
.gg-share.gg-flat rect{fill:#f1f4f8;stroke:#c6d0de}
.gg-share.gg-flat text{fill:#4b586e}
.gg-phase{fill:#556278;font-size:11.5px;font-weight:600}
.gg-told{fill:#0f172a;font-size:15px}
.gg-rail{stroke:#dfe6ef;stroke-width:3;stroke-linecap:round;fill:none}
.gg-run{stroke:#0f8577;stroke-width:3;fill:none}
.gg-run.gg-back{stroke:#5457d6}
"""
_MOTION_DARK: Final = """\
.gg-live path,.gg-glow,.gg-run{stroke:#2fc4b2}
.gg-live.gg-up path,.gg-up .gg-glow{stroke:#82b4ff}
.gg-live.gg-down path,.gg-down .gg-glow{stroke:#ffad70}
.gg-live.gg-flat path,.gg-flat .gg-glow{stroke:#8d9bb2}
.gg-share.gg-up rect{fill:#18263f;stroke:#2f4b7a}
.gg-share.gg-up text{fill:#9cc4ff}
.gg-share.gg-down rect{fill:#33210f;stroke:#6b4522}
.gg-share.gg-down text{fill:#ffbd8a}
.gg-share.gg-flat rect{fill:#1a2230;stroke:#344055}
.gg-share.gg-flat text{fill:#a9b5c8}
.gg-phase{fill:#8d9bb2}
.gg-told{fill:#e8eef7}
.gg-rail{stroke:#263042}
.gg-run.gg-back{stroke:#7f83f7}
"""


def style(theme: Theme = "auto", *, motion: bool = False) -> str:
    """Return the style sheet: `'auto'` follows the reader's light or dark mode, the others are one of them for good."""
    light = _LIGHT + _MOTION_LIGHT * motion
    dark = _DARK + _MOTION_DARK * motion
    if theme == "auto":
        return f"{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n"
    return light + dark * (theme == "dark")


STYLE: Final = style()
