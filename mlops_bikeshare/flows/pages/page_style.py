"""What every page of HTML has: the frame, and a style sheet of two palettes and one column.

Roles of lines (`--challenger` and so on) are those of pictures.py, lighter in the dark.
"""

import html

STYLE = r"""
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--back:#fff;--raised:#f6f8fa;
--line:#d0d7de;--grid:#d8dee4;--pass:#116329;--fail:#a40e26;--unknown:#7d4e00;
--pass-back:#dafbe1;--fail-back:#ffebe9;--unknown-back:#fff8c5;
--challenger:#0072b2;--champion:#d55e00;--persistence:#6e7681;--limit:#a40e26}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--back:#0d1117;
--raised:#161b22;--line:#30363d;--grid:#30363d;--pass:#56d364;--fail:#ff7b72;--unknown:#e3b341;
--pass-back:#0f2d1a;--fail-back:#3a1214;--unknown-back:#322a0b;
--challenger:#56b4e9;--champion:#f0883e;--persistence:#9aa4af;--limit:#ff7b72}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:clamp(1.35rem,3.6vw,2.1rem);line-height:1.25;margin:.4rem 0 1.2rem;max-width:56rem;
text-wrap:balance}
h2{font-size:1.2rem;margin:2.6rem 0 .6rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:0}
p{margin:.2rem 0}
a{color:inherit}
code{font:.88em ui-monospace,monospace;overflow-wrap:anywhere}
.kicker{color:var(--soft);display:flex;gap:.6rem;flex-wrap:wrap;align-items:center}
.note{color:var(--soft);max-width:46rem;margin:.2rem 0 1rem;font-size:.94rem}
.badge{font-size:.82rem;font-weight:600;padding:.05rem .55rem;border-radius:1rem}
.pass{color:var(--pass);background:var(--pass-back)}
.fail{color:var(--fail);background:var(--fail-back)}
.unknown{color:var(--unknown);background:var(--unknown-back)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.7rem}
.cards div{background:var(--raised);border-radius:.6rem;padding:.7rem .9rem}
.cards b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}
.cards span,time{color:var(--soft);font-size:.88rem;font-weight:400}
time{margin-left:.5rem;white-space:nowrap}
td:empty::after{content:"\2013"}
.timeline{list-style:none;margin:0;padding:0 0 0 .4rem}
.timeline li{position:relative;padding:0 0 1rem 1.5rem;border-left:2px solid var(--line)}
.timeline li:last-child{border-color:transparent;padding-bottom:0}
.timeline li::before{content:"";position:absolute;left:-.44rem;top:.42rem;width:.75rem;
height:.75rem;border-radius:50%;background:var(--challenger);border:2px solid var(--back)}
.timeline p{color:var(--soft);overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem}
figure{margin:0;background:var(--raised);border-radius:.6rem;padding:.7rem .6rem .3rem}
figcaption{font-weight:600;font-size:.94rem;padding:0 .4rem .3rem}
figure svg{display:block;width:100%;height:auto}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
.moves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem}
.moves div{background:var(--raised);border-radius:.6rem;padding:.8rem 1rem}
dl{margin:.4rem 0 0}dt{color:var(--soft);font-size:.88rem;margin-top:.4rem}dd{margin:0}
.further{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.2rem}
.further dt{margin:0;font-size:1rem;color:inherit}
table{border-collapse:collapse;width:100%;font-size:.94rem}
th{color:var(--soft);font-weight:600}
th,td{text-align:left;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);
vertical-align:baseline}
td{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
@media (max-width:44rem){
thead{display:none}
tr{display:block;background:var(--raised);border-radius:.6rem;padding:.5rem .9rem;margin:0 0 .7rem}
td{display:grid;grid-template-columns:8rem 1fr;gap:.6rem;padding:.15rem 0;border:0}
td::before{content:attr(data-name);color:var(--soft)}
td .badge{justify-self:start}
.further{grid-template-columns:1fr;gap:0}.further dd{margin-bottom:.6rem;color:var(--soft)}
}
@media print{figure,.cards div{break-inside:avoid}}
"""


def framed(title: str, body: str) -> str:
    """A whole page; `title` is plain text, `body` HTML."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    top = f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en">{meta}{top}<main>{body}</main></html>\n'
