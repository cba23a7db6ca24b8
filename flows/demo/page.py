"""The look of our offline pages: one stylesheet, light and dark, safe for the colour-blind.

Blue, orange and grey (Okabe and Ito's palette) never rely on hue alone: lines differ in dash too.
"""

CSS = """
:root{color-scheme:light dark;--ink:#1c1f24;--soft:#667;--paper:#fff;--card:#f5f6f8;--rule:#dde;
--price:#333a45;--stop:#d55e00;--target:#0072b2;--gain:#007a5a;--loss:#b3400a}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaee;--soft:#9aa3b2;--paper:#14171c;--card:#1d2128;
--rule:#333a45;--price:#cfd5de;--stop:#ff8b3d;--target:#56b4e9;--gain:#3ecf9a;--loss:#ff9966}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}main{max-width:780px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:30px;margin:0}h2{font-size:20px;margin:40px 0 8px}h3{font-size:16px;margin:24px 0 4px}
.banner{background:var(--card);border-left:4px solid var(--stop);padding:10px 14px;margin:12px 0}
.note{color:var(--soft);margin:0 0 10px}.tiles{display:grid;gap:10px;
grid-template-columns:repeat(auto-fit,minmax(140px,1fr));margin-top:20px}
.tile{background:var(--card);padding:12px;border-radius:8px}.tile b{display:block;font-size:20px;
font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
details{background:var(--card);border-radius:8px;margin:8px 0;padding:8px 12px}
summary{cursor:pointer}summary span{margin-left:10px;color:var(--soft)}
summary .gain,.gain{color:var(--gain)}summary .loss,.loss{color:var(--loss)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;
font-variant-numeric:tabular-nums}th,td{text-align:left;padding:4px 8px;
border-bottom:1px solid var(--rule)}td.number{text-align:right}
svg.chart{width:100%;height:auto;display:block}svg path{fill:none;stroke-width:1.6}
svg .grid{stroke:var(--rule);stroke-width:1}svg text{font-size:11px;fill:var(--soft)}
svg .price,svg .equity{stroke:var(--price)}svg .stop{stroke:var(--stop);stroke-width:2.2}
svg .target{stroke:var(--target);stroke-dasharray:7 4;stroke-width:2}
svg .mark{fill:var(--ink)}svg .word{fill:var(--ink);font-weight:600;
paint-order:stroke;stroke:var(--card);stroke-width:4px}
.legend i{display:inline-block;width:26px;margin:0 6px 4px 14px;border-top:2px solid var(--price)}
.legend i.stop{border-color:var(--stop);border-top-width:3px}
.legend i.target{border-color:var(--target);border-top-style:dashed}
.bar{display:flex;align-items:center;gap:10px;margin:4px 0}.bar span{flex:0 0 210px}
.bar i{height:14px;background:var(--target);border-radius:3px;min-width:2px}
@media(max-width:560px){.bar span{flex-basis:120px;font-size:14px}}
"""
