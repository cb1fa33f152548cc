//! How the page looks, in light and in dark.

/// The style sheet.
pub(crate) const CSS: &str = "
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#22252b;--soft:#6b7079;--rule:#e4e1d9;
--scratch:#8d8f94;--head:#2f7fc1;--full:#d2552b;--right:#2e8b57;--wrong:#c0392b}
@media (prefers-color-scheme:dark){:root{--paper:#16181c;--card:#1e2126;--ink:#e8e6e1;--soft:#9a9ea6;--rule:#33373e;
--scratch:#a3a6ab;--head:#5aa9e6;--full:#f07f55;--right:#59b983;--wrong:#e5736a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
main{max-width:1080px;margin:0 auto;padding:44px 24px 60px}
h1{font-size:2.1rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.02em}
h2{font-size:1.2rem;margin:0 0 .35rem}
p{margin:0 0 .9rem;max-width:46rem}
.answer{font-size:1.18rem;line-height:1.45}
.task{color:var(--soft)}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:22px 24px;margin:20px 0}
section>p{color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th{font-weight:600;text-align:left}
small{color:var(--soft);font-size:.78em;font-weight:400}
.ways{overflow-x:auto}
.ways table{width:100%}
.ways thead th{color:var(--soft);font-weight:400;font-size:.85rem;text-align:right;padding:0 0 6px 14px}
.ways thead th.bars{text-align:left;padding-left:0}
.ways td,.ways tbody th{padding:9px 0 9px 14px;text-align:right;white-space:nowrap}
.ways tbody th{padding-left:0;padding-right:14px;text-align:left;font-size:1.05rem}
.ways td.bars{width:44%;padding-left:0}
.ways tfoot td.bars{display:flex;justify-content:space-between;width:auto;color:var(--soft);font-size:.75rem;padding:0}
.big{font-size:1.3rem;font-weight:650;line-height:1.1}
.big small{display:block;font-size:.72rem;margin-top:2px}
.track{position:relative;height:26px;background:var(--rule);border-radius:5px}
.fill{height:100%;border-radius:5px}
.whisker{position:absolute;top:12px;height:2px;background:var(--ink)}
.whisker:before,.whisker:after{content:'';position:absolute;top:-4px;height:10px;width:2px;background:var(--ink)}
.whisker:before{left:0}.whisker:after{right:0}
.scratch .fill{background:var(--scratch)}.head .fill{background:var(--head)}.full .fill{background:var(--full)}
.ways .scratch .big,th.scratch{color:var(--scratch)}.ways .head .big,th.head{color:var(--head)}.ways .full .big,th.full{color:var(--full)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:22px;align-items:center}
.chart{width:100%;height:auto;font-size:12.5px}
.chart text{fill:var(--soft)}
.chart .axis{font-size:12.5px}
.chart .grid{stroke:var(--rule)}
.chart .line{fill:none;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}
.chart .band{opacity:.14;stroke:none}
.chart .name{font-weight:600}
.chart .chosen{stroke:var(--card);stroke-width:2}
.line.scratch{stroke:var(--scratch)}.line.head{stroke:var(--head)}.line.full{stroke:var(--full)}
.dot.scratch,.band.scratch,.chart .name.scratch{fill:var(--scratch)}
.dot.head,.band.head,.chart .name.head{fill:var(--head)}
.dot.full,.band.full,.chart .name.full{fill:var(--full)}
.numbers{width:100%}
.numbers th,.numbers td{text-align:right;padding:7px 0 7px 12px;border-bottom:1px solid var(--rule);white-space:nowrap}
.numbers thead th{font-size:.85rem}
.numbers .best{font-weight:650}
.says{display:grid;grid-template-columns:minmax(250px,1fr) 2fr;gap:28px;align-items:start}
@media (max-width:760px){.says{grid-template-columns:1fr}}
.confusion{width:100%}
.confusion caption{caption-side:bottom;color:var(--soft);font-size:.85rem;padding-top:8px;text-align:left}
.confusion th{font-size:.85rem;font-weight:400;color:var(--soft);padding:4px 8px 4px 0}
.confusion thead th{text-align:center}
.confusion td{position:relative;z-index:0;text-align:center;font-size:1.35rem;font-weight:600;padding:14px 6px;border:3px solid var(--card);border-radius:8px}
.confusion td:before{content:'';position:absolute;inset:0;z-index:-1;border-radius:6px;opacity:calc(.08 + .42*var(--share))}
.confusion .hit:before{background:var(--right)}
.confusion .miss:before{background:var(--wrong)}
.confusion td small{display:block;color:inherit;opacity:.75}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:12px}
.samples.pictures{grid-template-columns:repeat(auto-fill,minmax(128px,1fr))}
figure{margin:0;padding:11px 13px;border:1px solid var(--rule);border-left:4px solid var(--right);border-radius:7px;display:flex;flex-direction:column;justify-content:space-between;gap:6px}
figure.wrong{border-left-color:var(--wrong)}
figure img{width:100%;border-radius:4px}
blockquote{margin:0;font-size:.93rem;line-height:1.4;overflow-wrap:anywhere}
figcaption{color:var(--soft);font-size:.82rem}
.mark{color:var(--right);font-weight:700}
.wrong .mark{color:var(--wrong)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:7px 22px;margin:0}
dt{color:var(--soft)}
dd{margin:0}
@media (max-width:600px){dl{grid-template-columns:1fr}dd{margin-bottom:8px}}
footer{color:var(--soft);font-size:.85rem;text-align:center;margin-top:28px}
";
