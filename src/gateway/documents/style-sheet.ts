/** The style of the pages: one file, light and dark, for desks, phones and paper. */
export const styleSheet = `:root {
  color-scheme: light dark;
  --ground: light-dark(#fbfbf9, #15171a);
  --raised: light-dark(#ffffff, #1d2025);
  --sunk: light-dark(#f1f1ec, #101215);
  --text: light-dark(#1d2127, #e4e6ea);
  --quiet: light-dark(#5f6670, #9aa2ad);
  --line: light-dark(#dedfd8, #30343b);
  --accent: light-dark(#0b5cad, #7db8f5);
  --get: light-dark(#0a6b3d, #5fd39a);
  --post: light-dark(#0b5cad, #7db8f5);
  --put: light-dark(#8a4b00, #f0b265);
  --patch: light-dark(#6b3fa0, #c3a1f2);
  --delete: light-dark(#a8232f, #f28b94);
  --message: light-dark(#9a5b00, #ffca6b);
  font: 16px/1.55 system-ui, sans-serif;
  scroll-padding-top: 4.5rem;
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0; background: var(--ground); color: var(--text); overflow-wrap: break-word }
a { color: var(--accent); text-underline-offset: .15em; text-decoration-thickness: .06em }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 1rem; top: 1rem; z-index: 9; background: var(--raised); padding: .5rem 1rem }
code, pre, textarea, input, select { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .875em }
code { overflow-wrap: anywhere }
pre { background: var(--sunk); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; overflow: auto; max-height: 28rem; line-height: 1.45; margin: .5rem 0 }
pre code { overflow-wrap: normal; font-size: .8125rem }
.top { position: sticky; top: 0; z-index: 5; display: flex; align-items: center; gap: .75rem; padding: .6rem 1.25rem; background: color-mix(in srgb, var(--ground) 92%, transparent); backdrop-filter: blur(8px); border-bottom: 1px solid var(--line) }
.top .name { font-weight: 650; color: inherit; text-decoration: none; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.note { color: var(--quiet); font-size: .875rem }
.search { margin-left: auto; position: relative; flex: 0 1 20rem }
.search input { width: 100%; padding: .4rem .7rem; border: 1px solid var(--line); border-radius: 999px; background: var(--raised); color: inherit; font-family: inherit }
.found { position: absolute; right: 0; top: calc(100% + .4rem); width: min(36rem, 92vw); max-height: 70vh; overflow: auto; margin: 0; padding: .35rem; list-style: none; background: var(--raised); border: 1px solid var(--line); border-radius: 10px; box-shadow: 0 12px 32px rgb(0 0 0 / .18) }
.found a { display: flex; gap: .6rem; align-items: baseline; padding: .35rem .5rem; border-radius: 6px; color: inherit; text-decoration: none; min-width: 0 }
.found a:hover, .found a:focus { background: var(--sunk) }
.columns { display: grid; grid-template-columns: 17rem minmax(0, 1fr); max-width: 86rem; margin: 0 auto }
nav { position: sticky; top: 3.4rem; align-self: start; max-height: calc(100vh - 3.4rem); overflow: auto; padding: 1.25rem .5rem 3rem 1.25rem; font-size: .9375rem }
nav summary { display: none }
nav ul { list-style: none; margin: 0; padding: 0 }
nav a { display: block; padding: .2rem .6rem; border-radius: 6px; color: inherit; text-decoration: none; border-left: 2px solid transparent }
nav a:hover { background: var(--sunk) }
nav a[aria-current] { color: var(--accent); font-weight: 600; background: var(--sunk) }
.group { margin: 1.1rem 0 .25rem; padding: 0 .6rem; font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--quiet); font-weight: 600 }
main { padding: 1.5rem 2rem 6rem; min-width: 0; max-width: 62rem; overflow-wrap: anywhere }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .3rem 0 1rem; letter-spacing: -.015em; text-wrap: balance }
h1 .note { font-size: 1.2rem; font-weight: 400 }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .4rem; letter-spacing: -.01em }
h3 { font-size: .8125rem; margin: 1.4rem 0 .4rem; letter-spacing: .05em; text-transform: uppercase; color: var(--quiet) }
h4 { margin: 0 0 .3rem; font-size: .9375rem }
p { margin: .4rem 0 }
.heading { font-weight: 650; margin-top: 1rem }
blockquote { margin: .5rem 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--quiet) }
.operation, .message, .type-section { padding: 1.5rem 0; border-top: 1px solid var(--line) }
.anchor { color: var(--quiet); text-decoration: none; margin-left: -1.1rem; width: 1.1rem; display: inline-block; opacity: 0 }
h2:hover .anchor, .anchor:focus { opacity: 1 }
:target > h2 { color: var(--accent) }
.line { display: flex; flex-wrap: wrap; gap: .35rem .6rem; align-items: baseline; margin: 0 0 .6rem }
.path { font-size: .9375rem }
.method { flex: none; display: inline-block; min-width: 4.1rem; padding: .08rem .45rem; border-radius: 5px; text-align: center; font: 650 .72rem/1.6 ui-monospace, Menlo, Consolas, monospace; letter-spacing: .03em; color: var(--quiet); background: color-mix(in srgb, currentColor 11%, transparent) }
.method-get { color: var(--get) } .method-post { color: var(--post) } .method-put { color: var(--put) }
.method-patch { color: var(--patch) } .method-delete { color: var(--delete) } .method-message { color: var(--message) }
.bolt::before { content: "\\26A1\\FE0E"; color: var(--message); margin-right: .3em }
.method .bolt::before { margin-right: .15em }
.id { color: var(--quiet); font: .8125rem ui-monospace, Menlo, Consolas, monospace; margin-left: auto; overflow-wrap: anywhere }
.message .id { margin-left: 0 }
.flag { font-size: .72rem; padding: .05rem .45rem; border: 1px solid var(--line); border-radius: 999px; color: var(--quiet); white-space: nowrap; font-weight: 400; letter-spacing: 0; text-transform: none }
.flag.required { color: var(--delete); border-color: color-mix(in srgb, var(--delete) 40%, transparent) }
.warning { padding: .5rem .8rem; border-left: 3px solid var(--message); background: var(--sunk); border-radius: 0 6px 6px 0 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .9375rem }
th { text-align: left; font-weight: 600; font-size: .8125rem; color: var(--quiet) }
th, td { padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td p { margin: 0 }
td:first-child code { white-space: nowrap }
.parameters td:nth-child(2), .parameters td:nth-child(3) { white-space: nowrap }
.type { color: var(--quiet); font-size: .875rem }
.limit { margin-right: .5rem }
.members { margin: .4rem 0; padding: 0; border-left: 2px solid var(--line) }
.member { padding: .35rem 0 .35rem .9rem }
.member dt { display: block }
.member dd { margin: .1rem 0 0; font-size: .9375rem }
.member dd p { margin: .1rem 0 }
.inside { margin: .3rem 0 .3rem .9rem }
.alternatives { padding-left: 1.1rem; margin: .2rem 0 }
.media { margin: .5rem 0 }
details > summary { cursor: pointer; padding: .15rem 0 }
.response { border: 1px solid var(--line); border-radius: 8px; margin: .4rem 0; padding: .25rem .8rem; background: var(--raised) }
.response > summary { overflow-wrap: anywhere }
.status { font: 650 .8125rem ui-monospace, Menlo, Consolas, monospace; margin-right: .4rem }
.good { color: var(--get) } .bad { color: var(--delete) }
.caused, .places { list-style: none; padding: 0; margin: .3rem 0 }
.operations { list-style: none; padding: 0; margin: .5rem 0 }
.operations .path, .operations .note, .found .path { min-width: 0 }
.operations li, .operations a { display: flex; gap: .35rem .7rem; align-items: baseline; flex-wrap: wrap }
.operations li:not(:has(a)) { padding: .2rem 0 }
.operations a { width: 100%; padding: .3rem .5rem; margin: 0 -.5rem; border-radius: 7px; color: inherit; text-decoration: none }
.operations a:hover { background: var(--sunk) }
.entry { margin-top: 1.6rem } .entry h2 a { color: inherit; text-decoration: none } .entry h2 a:hover { text-decoration: underline }
.service { border: 1px solid var(--line); background: var(--raised); border-radius: 10px; padding: .8rem 1.1rem; margin: .8rem 0 }
.service h2 { font-size: 1.05rem }
.try { margin-top: 1.2rem; padding: .9rem 1.1rem 1.1rem; background: var(--raised); border: 1px solid var(--line); border-radius: 10px }
.try h3 { margin-top: 0 }
.try label { display: grid; grid-template-columns: minmax(7rem, 12rem) minmax(0, 1fr); gap: .6rem; align-items: center; margin: .35rem 0; font-size: .875rem }
.try input, .try select, .try textarea, .credentials input { width: 100%; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: 6px; background: var(--ground); color: inherit }
.try textarea { resize: vertical; line-height: 1.45; margin-top: .3rem }
button { font: 600 .9375rem system-ui, sans-serif; padding: .45rem 1.3rem; border: 0; border-radius: 7px; background: var(--accent); color: var(--ground); cursor: pointer }
button:hover { filter: brightness(1.08) } button:disabled { opacity: .5; cursor: default }
.outcome { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; margin-top: .8rem }
.outcome > * { min-width: 0 }
.heard ol { list-style: none; margin: 0; padding: 0 }
.heard li { border: 1px solid color-mix(in srgb, var(--message) 45%, var(--line)); border-radius: 8px; padding: .5rem .8rem; margin-bottom: .5rem; animation: arrive .5s ease-out }
.heard li pre { margin-bottom: 0 }
.credentials { display: flex; flex-wrap: wrap; gap: .4rem .8rem; align-items: center; padding: .6rem .9rem; border: 1px dashed var(--line); border-radius: 8px; margin: .8rem 0; font-size: .875rem }
.credentials input { flex: 1 1 14rem; width: auto }
@keyframes arrive { from { background: color-mix(in srgb, var(--message) 30%, transparent); transform: translateY(-4px) } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important } }
@media (max-width: 56rem) {
  .columns { display: block }
  nav { position: static; max-height: none; padding: .5rem 1.25rem; border-bottom: 1px solid var(--line) }
  nav summary { display: list-item; font-weight: 600 }
  main { padding: 1rem 1.25rem 4rem }
  .anchor { margin-left: 0; opacity: .5 }
  .id { margin-left: 0; width: 100% }
  .top { padding: .5rem 1.25rem } .top > .note { display: none }
  .try label { grid-template-columns: 1fr; gap: .15rem }
  .parameters thead { display: none }
  .parameters tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0 }
  .parameters td { display: inline; border: 0; padding: 0 .5rem 0 0 }
  .parameters td:last-child { display: block }
}
@media print {
  nav, .search, .try, .skip, .anchor, .credentials { display: none !important }
  .columns { display: block } main { max-width: none; padding: 0 } .top { position: static; border: 0 }
  details::details-content { content-visibility: visible; display: block }
  pre { max-height: none; white-space: pre-wrap; overflow: visible }
  .response, .member, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  :root { color-scheme: light; font-size: 10pt }
}
`

/** What stands in the tab of a browser. */
export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0b5cad"/><path d="M9 2 4 9h3l-1 5 6-8H8z" fill="#ffca6b"/></svg>\n'
