/** The style of the pages: one file, light and dark, for desks and phones. */
export const styleSheet = `:root {
  color-scheme: light dark;
  --ground: light-dark(#fbfbf9, #15171a);
  --raised: light-dark(#ffffff, #1d2025);
  --text: light-dark(#1d2127, #e4e6ea);
  --quiet: light-dark(#5a616b, #a0a8b3);
  --line: light-dark(#8a8f98, #6b727d);
  --accent: light-dark(#0b5cad, #7db8f5);
  --fault: light-dark(#a8232f, #f28b94);
  font: 16px/1.5 system-ui, sans-serif;
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; background: var(--ground); color: var(--text) }
h1 { font-size: 1.5rem; overflow-wrap: anywhere }
h2 { font-size: 1.125rem; margin: 1.5rem 0 .5rem }
a { color: var(--accent) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 1rem; top: 1rem; background: var(--raised); padding: .5rem 1rem }
textarea, input[type=text], pre, td.value { font: .875rem/1.5 ui-monospace, Menlo, Consolas, monospace }
textarea, input[type=text] { width: 100%; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: 6px; background: var(--raised); color: inherit }
textarea { min-height: 8rem; resize: vertical }
label { display: block; margin: .75rem 0 .25rem }
label.inline { display: inline-block; margin-right: 1rem }
button { font: inherit; min-height: 2.75rem; padding: .4rem 1rem; border: 1px solid var(--accent); border-radius: 6px; background: var(--accent); color: var(--ground); cursor: pointer }
.go { display: flex; gap: .5rem; align-items: end }
.go > div { flex: 1 }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
th, td { text-align: left; padding: .4rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
td.value { max-height: 6rem }
.note { color: var(--quiet) }
.fault { color: var(--fault) }
ol.heard { padding: 0; list-style: none; max-height: 24rem; overflow: auto }
ol.heard li { padding: .35rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; white-space: pre-wrap; font: .875rem/1.5 ui-monospace, Menlo, Consolas, monospace }
@media (max-width: 40rem) { .time { display: none } }
`
