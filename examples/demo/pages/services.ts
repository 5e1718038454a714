/** What runs where, for those who look beneath. */
import { html } from 'lockstep/live/views'
import type { Site } from '../site.ts'
import { renderPage } from './layout.ts'

export function renderServices({ services, brokerUrl }: Site): string {
  const rows = Object.entries(services).map(
    ([name, url]) => html`<tr>
            <th scope="row">${name}</th>
            <td><a href="${url}/${name}">${url}/${name}</a></td>
            <td><code>${name}/#</code></td>
            <td><a href="${url}/${name}/_changes">changes</a></td>
          </tr>`,
  )
  return renderPage({
    title: 'Services',
    path: '/services',
    body: html`
    <h1>Services</h1>
    <p class="lead">Each REST write to these services is a message on the topic that matches its URL.</p>
    <div class="card scroll">
      <table>
        <thead><tr><th scope="col">Service</th><th scope="col">REST</th><th scope="col">Topics</th><th scope="col">Feed</th></tr></thead>
        <tbody>${rows}</tbody>
      </table>
    </div>
    <p>The broker listens at <code>${brokerUrl}</code>. Behind this door the API is at
      <a href="/api/v1/users">/api/v1/users</a>, <a href="/api/v1/projects">/projects</a> and
      <a href="/api/v1/builds">/builds</a>; <a href="/api/v1/tickets">/tickets</a> is still the legacy program's.
      <a href="/docs/">The documentation of it all</a> has each request, with the messages that it causes.</p>`,
  })
}
