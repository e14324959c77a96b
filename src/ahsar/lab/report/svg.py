"""Pictures as part of a page: SVG that takes the page's colours and letters, with short names that no other picture has."""

import re
from html import escape

from ahsar.lab.report.colours import themed

_DECIMALS = 2  # of points, 1/72 inch: finer than a screen shows


def inline(svg: str, name: str, finding: str, *, css_class: str = "", width: str = "100%") -> str:
    """What matplotlib wrote as a file, as an element of a page.

    Args:
        name: of the picture; its ids and classes begin with it.
        finding: what it shows, for those who do not see it.
        width: of the page, as CSS says it.
    """
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    body = svg[svg.index(">", box.end()) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0]), body)
    body = _named(body, name)
    styles: dict[str, str] = {}
    body = re.sub(r'style="([^"]*)"', lambda found: f'class="{styles.setdefault(found[1], f"{name}{len(styles)}")}"', body)
    rules = "".join(f".{short}{{{style}}}" for style, short in styles.items())
    body = re.sub(r"\n\s*", "\n", re.sub(r"<defs>\s*</defs>|<g>\s*</g>", "", body))
    kind = f' class="{css_class}"' if css_class else ""
    opening = f'<svg{kind} {box[0]} style="width:{width}" role="img" aria-label="{escape(finding)}">'
    return f"{opening}<style>{themed(rules)}</style>{body}</svg>"


def _tag(tag: str) -> str:
    """A tag with fewer decimals, and without what the page gives it or what says nothing."""
    if "base64," in tag:
        return tag.replace("xlink:href", "href").replace("\n", "")
    tag = " ".join(tag.replace("xlink:href", "href").split())
    tag = re.sub(r"-?\d+\.\d{3,}(?:e-?\d+)?", _rounded, tag)
    tag = re.sub(r' transform="rotate\(-?0(?:\.0)? [^"]*"', "", tag)
    tag = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", tag)  # of earlier versions of matplotlib
    return re.sub(r"font-family: [^;\"]*;? ?", "", tag)


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), _DECIMALS):g}" if abs(float(number[0])) < 1e5 else number[0]


def _named(body: str, name: str) -> str:
    """Ids that nothing refers to are left out; the others are counted."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    short = {known: f"{name}-{number}" for number, known in enumerate(used)}
    body = re.sub(r' id="([^"]*)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + short[found[2]], body)
