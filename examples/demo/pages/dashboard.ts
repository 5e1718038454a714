/** The front page: projects with their people, and the builds. */
import { createStates, html } from 'lockstep/live/views'
import type { Site } from '../site.ts'
import { renderPage } from './layout.ts'
import { buildRows, projectCards } from './views.ts'

export async function renderDashboard({ pages }: Site): Promise<string> {
  const { held, tag } = await pages.read({ users: '/users', projects: '/projects', builds: '/builds' })
  const states = createStates(held)
  return renderPage({
    title: 'Dashboard',
    path: '/',
    tag,
    script: '/assets/browser/dashboard.ts',
    body: html`
    <h1>Projects</h1>
    <p class="lead">What you see is kept in step with three REST services, change by change. Rename somebody on their page, and look here.</p>
    <section aria-label="Projects" class="grid" data-live-view="projectCards">${projectCards(states)}</section>
    <section aria-labelledby="builds">
      <h2 id="builds">Builds</h2>
      <div class="card scroll">
        <table>
          <thead><tr><th scope="col">Build</th><th scope="col">Status</th><th scope="col">Progress</th><th scope="col" class="number">Done</th></tr></thead>
          <tbody data-live-view="buildRows">${buildRows(states)}</tbody>
        </table>
      </div>
    </section>`,
  })
}
