/**
 * `<live-status>`: shows the status of the page in words, and has it as its attribute `status`. Loaded where a page has one.
 *
 * Attributes named as the status (`stale="Unsicher seit {time}"`) replace the words; `{n}` is the number of changes, `{time}` when it began.
 */
import type { LiveStatus } from './status.ts'

const texts: Readonly<Record<string, string>> = {
  connecting: 'Connecting',
  'catching-up': 'Catching up ({n})',
  live: 'Live',
  stale: 'Stale since {time}',
  refreshing: 'Refreshing',
  refreshed: 'Refreshed',
  closed: 'Not live',
}
const refreshedMs = 4_000

/** Defines the element; `read` gives the status, and the document's event `live-status` says that there is another. */
export function defineLiveStatus(read: () => LiveStatus): void {
  class Status extends HTMLElement {
    connectedCallback(): void {
      this.role ??= 'status'
      document.addEventListener('live-status', this)
      this.handleEvent()
    }

    disconnectedCallback(): void {
      document.removeEventListener('live-status', this)
    }

    handleEvent(): void {
      const { name, reason, since, changes } = read()
      const leftMs = name === 'live' && reason === 'refreshed' ? since + refreshedMs - Date.now() : 0
      const word = leftMs > 0 ? reason : name
      const text = (this.getAttribute(word) ?? texts[word]!)
        .replace('{n}', `${changes}`)
        .replace('{time}', new Date(since).toLocaleTimeString())
      // What is the same is not read out again.
      if (this.textContent !== text) this.textContent = text
      this.setAttribute('status', word)
      if (leftMs > 0) setTimeout(() => this.handleEvent(), leftMs)
    }
  }
  if (!customElements.get('live-status')) customElements.define('live-status', Status)
}
