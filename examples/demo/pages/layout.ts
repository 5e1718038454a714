/** The frame of each page: what it is called, how one gets around, and how well it follows. */
import { Html, html } from 'lockstep/live/views'

/** No inline script or style, nothing from elsewhere, and markup only from the policy of the live module. */
export const contentSecurityPolicy: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types lockstep 'allow-duplicates'",
].join('; ')

export interface PageContent {
  readonly title: string
  /** The path of the page, to mark where one is. */
  readonly path: string
  readonly body: Html
  /** The tag, where the page is to stay live. */
  readonly tag?: string
  /** The page's own script. */
  readonly script?: string
}

const places = [
  ['/', 'Dashboard'],
  ['/people', 'People'],
  ['/mind-the-gap', 'Mind the gap'],
  ['/services', 'Services'],
] as const

/** Renders a whole page. */
export function renderPage({ title, path, body, tag, script }: PageContent): string {
  const links = places.map(([href, name]) => {
    const isHere = href === path || (href !== '/' && path.startsWith(`${href}/`))
    return html`<li><a href="${href}"${isHere ? html` aria-current="page"` : ''}>${name}</a></li>`
  })
  const page = html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${title} – Lockstep</title>
  <link rel="icon" href="/pictures/lockstep.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
  ${script === undefined ? '' : html`<script type="module" src="${script}"></script>`}
</head>
<body>
  <a class="skip" href="#main">Skip to the content</a>
  <header class="top">
    <a class="brand" href="/"><img src="/pictures/lockstep.svg" alt="" width="28" height="28">Lockstep</a>
    <nav aria-label="Pages"><ul>${links}</ul></nav>
    ${tag === undefined ? '' : html`<live-status>As of loading</live-status>`}
  </header>
  <main id="main">
${body}
  </main>
  <footer>
    <p>Three services, one broker, and pages that follow them. Everything runs on this machine.</p>
  </footer>
  ${tag === undefined ? '' : new Html(tag)}
</body>
</html>
`
  return page.text
}
