/** The front door: a plain page that says what runs where. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FrontDoor {
  readonly url: string
  /** Says what the page shows, once it is known. */
  show(services: Readonly<Record<string, string>>, brokerUrl: string): void
  close(): Promise<void>
}

/** Opens the front door. Fails with a clear sentence where the port is taken. */
export async function openFrontDoor({ host, port }: { host: string; port: number }): Promise<FrontDoor> {
  let page = '<!doctype html><title>Lockstep</title><p>Starting …'
  const server = createServer((request, response) => {
    const isHome = request.url === '/' || request.url?.startsWith('/?')
    response.writeHead(isHome ? 200 : 404, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    })
    response.end(
      request.method === 'HEAD'
        ? undefined
        : isHome
          ? page
          : '<!doctype html><title>Not found</title><p>There is nothing here. <a href="/">Home</a>',
    )
  })
  server.listen(port, host)
  await once(server, 'listening').catch(error => {
    throw error.code === 'EADDRINUSE'
      ? new Error(
          `Port ${port} on ${host} is taken. Stop the program that listens there, or choose another port.`,
        )
      : error
  })
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    show(services, brokerUrl) {
      page = renderPage(services, brokerUrl)
    },
    close: () => {
      server.closeAllConnections()
      return new Promise(done => server.close(() => done()))
    },
  }
}

function renderPage(services: Readonly<Record<string, string>>, brokerUrl: string): string {
  const rows = Object.entries(services).map(
    ([name, url]) => `
      <tr>
        <th scope="row">${name}</th>
        <td><a href="${url}/${name}">${url}/${name}</a></td>
        <td><code>${name}/#</code></td>
        <td><a href="${url}/${name}/_changes">changes</a></td>
      </tr>`,
  )
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Lockstep</title>
    <style>
      :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
      body { max-width: 52rem; margin: 3rem auto; padding: 0 1rem }
      table { border-collapse: collapse; width: 100% }
      th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
    </style>
  </head>
  <body>
    <main>
      <h1>Lockstep</h1>
      <p>Each REST write to these services is a message on the topic that matches its URL.</p>
      <table>
        <thead><tr><th scope="col">Service</th><th scope="col">REST</th><th scope="col">Topics</th><th scope="col">Feed</th></tr></thead>
        <tbody>${rows.join('')}
        </tbody>
      </table>
      <p>The broker listens at <code>${brokerUrl}</code>.</p>
    </main>
  </body>
</html>
`
}
