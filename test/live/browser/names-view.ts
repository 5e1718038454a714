/** A view that the tests' server and their pages share. */
import { type Html, html, type States } from '../../../src/live/browser/views.ts'

export function nameList(states: States, path: string): Html {
  return html`${states.list(path).map(({ id, name }) => html`<li id="person-${String(id)}">${String(name)}</li>`)}`
}
