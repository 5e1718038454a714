/** The page that shows the mechanism itself: two time lines, and a button that cuts the connection between them. */
import { html } from 'lockstep/live/views'
import type { Site } from '../site.ts'
import { renderPage } from './layout.ts'

const shownChanges = 8

export async function renderGap({ pages, services }: Site): Promise<string> {
  const { marker, tag } = await pages.read({ builds: '/builds' })
  const { epoch, seq } = marker[0]!
  const after = `${epoch}:${Math.max(0, seq - shownChanges)}`
  const feed = await fetch(`${services['builds']}/builds/_changes?after=${after}`)
  const { changes = [] } = (await feed.json()) as { changes?: readonly Record<string, unknown>[] }
  const rows = changes.map(change => {
    const { id, event, resource, time } = change
    return html`<tr><th scope="row"><code>${String(id)}</code></th><td>${String(event)}</td><td><code>${String(resource)}</code></td><td>${String(time).slice(11, 19)}</td></tr>`
  })
  return renderPage({
    title: 'Mind the gap',
    path: '/mind-the-gap',
    tag,
    script: '/assets/browser/gap.ts',
    body: html`
    <h1>Mind the gap</h1>
    <p class="lead">A page that a server rendered goes on from exactly the change that it was rendered at, whatever happens to its connection.</p>
    <section class="card gap" aria-labelledby="diagram-title" id="gap" hidden>
      <div class="gap-head">
        <h2 id="diagram-title">As it happens</h2>
        <p class="actions">
          <button type="button" id="cut" aria-pressed="false">Cut the connection</button>
          <button type="button" id="anew" class="quiet">Take a new baseline</button>
        </p>
      </div>
      <p class="soft">Above, the change log of the builds; below, what this page has taken in. Cut the connection, wait, and connect again: nothing is
        missing, and nothing comes twice.</p>
      <svg id="diagram" role="img" aria-label="Changes travel from the log to this page" height="300"></svg>
      <p class="legend soft"><span><span class="key now"></span> at once</span> <span><span class="key late"></span> after the gap</span> <span><span class="key lost"></span> not here yet</span></p>
      <dl class="figures">
        <div><dt>The log is at</dt><dd id="log-at">–</dd></div>
        <div><dt>This page is at</dt><dd id="page-at">–</dd></div>
        <div><dt>Not here yet</dt><dd id="missing">0</dd></div>
        <div><dt>Taken in</dt><dd id="taken">0</dd></div>
        <div><dt>Lost or repeated</dt><dd id="wrong">0</dd></div>
      </dl>
      <h3>What happened</h3>
      <ol class="plain events" id="events" aria-live="polite"></ol>
    </section>
    <section class="columns" aria-label="How it works">
      <div class="card">
        <h2>How it works</h2>
        <ol class="steps">
          <li><strong>A marker in the page.</strong> The server that rendered this page wrote down how far the log was when it read the state:
            <code>${`builds:${epoch}:${seq}`}</code>.</li>
          <li><strong>The connection begins there.</strong> The page sends its marker, and the bridge sends the interval from it to now. What changed between
            rendering and connecting is in it.</li>
          <li><strong>Intervals without a hole.</strong> Each frame says from where to where it reaches. One that does not join on proves a loss, and the
            page asks again.</li>
          <li><strong>A gap is bridged or told.</strong> After a cut the page sends how far it is now. Where the log does not reach back that far, the
            bridge says so, and the page takes a new baseline. Never silence.</li>
        </ol>
      </div>
      <div class="card scroll">
        <h2>The log's end</h2>
        <table>
          <thead><tr><th scope="col">Position</th><th scope="col">Event</th><th scope="col">Resource</th><th scope="col">Time</th></tr></thead>
          <tbody>${rows}</tbody>
        </table>
        <p class="soft">As of the moment this page was made.</p>
      </div>
    </section>`,
  })
}
