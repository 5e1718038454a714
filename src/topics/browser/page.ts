/**
 * What makes the pages live: messages as they come, and publishing without loading the page again.
 *
 * It puts what was published into the page as text only.
 */

interface Entry {
  readonly topic: string
  readonly time: string
  readonly value?: unknown
  readonly text?: string
  readonly base64?: string
  readonly last?: true
}

const mostHeard = 50
const mostRows = 500

const state = document.querySelector<HTMLElement>('[data-status]')
const form = document.querySelector<HTMLFormElement>('form[data-topic]')
const table = document.querySelector<HTMLTableElement>('table[data-filter]')
if (form !== null) showTopic(form)
if (table !== null) showList(table)

function say(text: string, isFault = false): void {
  if (state === null) return
  state.textContent = text
  state.classList.toggle('fault', isFault)
}

function showTopic(topicForm: HTMLFormElement): void {
  const url = topicForm.action
  const field = topicForm.querySelector('textarea')!
  const since = document.querySelector<HTMLElement>('[data-since]')!
  const section = document.querySelector<HTMLElement>('[data-heard]')!
  const list = section.querySelector('ol')!
  let shown = field.value
  section.hidden = false
  follow(`${url}?last=true`, entry => {
    const text = textOf(entry)
    // What someone is writing stays.
    if (field.value === shown) field.value = text
    shown = text
    since.textContent =
      text === '' && entry.text === '' ? 'Its last value was taken away.' : `Since ${timeOf(entry)}.`
    if (entry.last === true) return
    const item = document.createElement('li')
    item.textContent = `${timeOf(entry)}  ${text}`
    list.prepend(item)
    while (list.children.length > mostHeard) list.lastElementChild?.remove()
  })
  topicForm.addEventListener('submit', event => {
    event.preventDefault()
    void publish(url, field.value, topicForm.querySelector<HTMLInputElement>('[name=retain]')!.checked).then(
      isDone => {
        if (isDone) shown = field.value
      },
    )
  })
}

async function publish(url: string, text: string, retain: boolean): Promise<boolean> {
  say('Publishing…')
  try {
    const response = await fetch(`${url}?retain=${retain}`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: text,
    })
    if (response.ok) {
      say('Published.')
      return true
    }
    const problem = (await response.json()) as { readonly detail?: string }
    say(`Not published: ${problem.detail ?? response.status}`, true)
  } catch {
    say('Not published: the server cannot be reached.', true)
  }
  return false
}

function showList(topics: HTMLTableElement): void {
  const body = topics.tBodies[0]!
  const root = topics.dataset['root'] ?? ''
  const rows = new Map([...body.rows].map(row => [row.dataset['topic'] ?? '', row]))
  follow(`${topics.dataset['url']}?last=true`, entry => {
    let row = rows.get(entry.topic)
    if (row === undefined) {
      if (rows.size >= mostRows) return
      row = addRow(body, root, entry.topic)
      rows.set(entry.topic, row)
      topics.hidden = false
      document.querySelector<HTMLElement>('[data-empty]')?.setAttribute('hidden', '')
    }
    const text = textOf(entry)
    row.cells[1]!.textContent = text.length > 200 ? `${text.slice(0, 200)}…` : text
    row.cells[2]!.textContent = timeOf(entry)
  })
}

/** In the order of topics, as the server lists them. */
function addRow(body: HTMLTableSectionElement, root: string, topic: string): HTMLTableRowElement {
  const at = [...body.rows].findIndex(row => (row.dataset['topic'] ?? '') > topic)
  const row = body.insertRow(at)
  row.dataset['topic'] = topic
  const head = document.createElement('th')
  head.scope = 'row'
  const link = document.createElement('a')
  link.href = `${root}/${topic.split('/').map(encodeURIComponent).join('/')}`
  link.textContent = topic
  head.append(link)
  row.append(head)
  row.insertCell().className = 'value'
  row.insertCell().className = 'time'
  return row
}

function follow(url: string, onEntry: (entry: Entry) => void): void {
  const events = new EventSource(url)
  let wasLost = false
  events.addEventListener('message', event => onEntry(JSON.parse(event.data as string) as Entry))
  events.addEventListener('open', () => {
    if (wasLost) say('Connected again.')
    wasLost = false
  })
  events.addEventListener('error', () => {
    if (!wasLost) say('The connection is lost; what is shown may be old. Trying again…', true)
    wasLost = true
  })
}

function textOf({ value, text, base64 }: Entry): string {
  if (text !== undefined) return text
  if (base64 !== undefined) return `${Math.floor((base64.length * 3) / 4)} bytes that are no text`
  return JSON.stringify(value)
}

function timeOf({ time }: Entry): string {
  return `${time.slice(0, 10)} ${time.slice(11, 19)} UTC`
}
