/**
 * What the pages do beyond being read: search, and, where they are served by a gateway, trying a request with the
 * messages that it causes beside the answer.
 *
 * It puts texts into the page as texts only. Messages are found by their `cause`, which is the request's id; whether all have come
 * is known by the marker of the answer.
 */
import { checkMessage, type Schema } from './message-check.ts'

type Place = readonly [href: string, kind: string, path: string, title: string, id: string]
interface Heard {
  readonly event?: string
  readonly resource?: string
  readonly cause?: string
  readonly id?: string
}

const inSearch = document.querySelector<HTMLFormElement>('.search')
if (inSearch !== null) startSearch(inSearch)
if (document.body.hasAttribute('data-live')) startTrying()
const menu = document.querySelector<HTMLDetailsElement>('.menu')
if (menu !== null && matchMedia('(max-width: 56rem)').matches) menu.open = false

function create(name: string, className: string, text = ''): HTMLElement {
  const element = document.createElement(name)
  element.className = className
  element.textContent = text
  return element
}

/** The one script that is loaded later, where the browser asks for a promise that it is this one. */
function scriptUrl(url: string): unknown {
  const { trustedTypes } = globalThis as {
    trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): unknown } }
  }
  return (
    trustedTypes?.createPolicy('docs', { createScriptURL: () => 'search-index.js' }).createScriptURL(url) ??
    url
  )
}

function startSearch(form: HTMLFormElement): void {
  const input = form.querySelector('input')!
  const list = form.querySelector<HTMLElement>('.found')!
  let isLoading = false
  const load = (): void => {
    if (isLoading) return
    isLoading = true
    const script = document.createElement('script')
    script.src = scriptUrl('search-index.js') as string
    script.onload = show
    document.head.append(script)
  }
  const show = (): void => {
    const places = (globalThis as { lockstepSearchIndex?: readonly Place[] }).lockstepSearchIndex ?? []
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean)
    const found =
      wanted.length === 0
        ? []
        : places.filter(place => wanted.every(word => place.slice(1).join(' ').toLowerCase().includes(word)))
    list.replaceChildren(
      ...found.slice(0, 30).map(([href, kind, path, title]) => {
        const item = document.createElement('li')
        const link = document.createElement('a')
        link.href = href
        link.append(
          create('span', `method method-${kind === 'MSG' ? 'message' : kind.toLowerCase()}`, kind),
          create('code', 'path', path),
          create('span', 'note', title),
        )
        item.append(link)
        return item
      }),
    )
    if (wanted.length > 0 && found.length === 0) list.append(create('li', 'note', 'Nothing is found.'))
    list.hidden = wanted.length === 0
  }
  form.hidden = false
  input.addEventListener('focus', load)
  input.addEventListener('input', show)
  form.addEventListener('submit', event => {
    event.preventDefault()
    list.querySelector('a')?.click()
  })
  form.addEventListener('keydown', event => {
    if (event.key === 'Escape') {
      list.hidden = true
      input.blur()
    }
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    const links = [...list.querySelectorAll('a')]
    const at =
      links.indexOf(document.activeElement as HTMLAnchorElement) + (event.key === 'ArrowDown' ? 1 : -1)
    event.preventDefault()
    if (at < 0) input.focus()
    else links[at]?.focus()
  })
  list.addEventListener('click', () => {
    list.hidden = true
  })
  document.addEventListener('keydown', event => {
    const isTyping =
      event.target instanceof HTMLElement && event.target.closest('input, textarea, select') !== null
    if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    input.focus()
  })
}

/** What is sent with each request, kept in this page only. */
const credentials = { name: 'Authorization', value: '' }

function startTrying(): void {
  const forms = document.querySelectorAll<HTMLFormElement>('form.try')
  if (forms.length === 0) return
  const bar = create('p', 'credentials')
  const label = create('label', '', 'Credentials for requests from this page ')
  const input = document.createElement('input')
  input.placeholder = 'Bearer … (sent as Authorization, kept in this page only)'
  input.autocomplete = 'off'
  input.type = 'password'
  input.id = 'credentials'
  label.setAttribute('for', input.id)
  input.addEventListener('input', () => {
    credentials.value = input.value.trim()
  })
  bar.append(label, input)
  document.querySelector('main h1')?.after(bar)
  for (const form of forms) {
    form.hidden = false
    const types = form.querySelector<HTMLSelectElement>('select[name=type]')
    types?.addEventListener('change', () => {
      for (const area of form.querySelectorAll('textarea')) area.hidden = area.dataset['type'] !== types.value
    })
    form.addEventListener('submit', event => {
      event.preventDefault()
      void tryIt(form)
    })
  }
}

async function tryIt(form: HTMLFormElement): Promise<void> {
  const status = form.querySelector<HTMLElement>('[role=status]')!
  const button = form.querySelector('button')!
  const { url, init } = readRequest(form)
  const list = form.querySelector<HTMLElement>('.heard ol')
  const note = form.querySelector<HTMLElement>('.heard-note')
  list?.replaceChildren()
  button.disabled = true
  const stop = new AbortController()
  const { feed } = form.dataset
  try {
    status.textContent = feed === undefined ? 'Sending …' : 'Listening …'
    const hearing = feed === undefined ? undefined : hear(fill(form, feed), stop.signal)
    const isHearing = hearing !== undefined && (await hearing.ready)
    status.textContent = 'Sending …'
    const began = performance.now()
    const response = await fetch(url, init)
    const text = await response.text()
    status.textContent = `Answered in ${Math.round(performance.now() - began)} ms`
    showAnswer(form, response, text)
    if (list === null || note === null) return
    if (!isHearing) {
      note.textContent = 'The event stream of the feed could not be opened, so the messages are not shown.'
      return
    }
    note.textContent = 'Waiting for what the request changed …'
    const cause =
      response.headers.get('x-request-id') ?? String(new Headers(init.headers).get('x-request-id'))
    const marker = response.ok ? response.headers.get('lockstep-marker') : null
    const count = await hearing!.collect(cause, marker, message =>
      showMessage(list, message, response, init.method ?? 'GET'),
    )
    note.textContent =
      count === 0
        ? 'None: the request changed nothing.'
        : `${count === 1 ? 'One message' : `${count} messages`} with the cause ${cause}.`
  } catch (error) {
    status.textContent = `It failed: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    stop.abort()
    button.disabled = false
  }
}

function readRequest(form: HTMLFormElement): { url: string; init: RequestInit } {
  const headers = new Headers({ 'x-request-id': `docs-${crypto.randomUUID()}` })
  if (credentials.value !== '') headers.set(credentials.name, credentials.value)
  const query = new URLSearchParams()
  for (const input of form.querySelectorAll<HTMLInputElement>('input[data-in]')) {
    const { in: place } = input.dataset
    if (input.value === '') continue
    if (place === 'header') headers.set(input.name, input.value)
    // Conditions are written as they stand in a query: `age:gte=18&name=Ann`.
    else if (place === 'query' && input.name === 'where')
      for (const [name, value] of new URLSearchParams(input.value)) query.append(name, value)
    else if (place === 'query') query.append(input.name, input.value)
  }
  const area = form.querySelector<HTMLTextAreaElement>('textarea:not([hidden])')
  if (area !== null) headers.set('content-type', area.dataset['type'] ?? 'application/json')
  const text = query.size === 0 ? '' : `?${query}`
  return {
    url: `${fill(form, form.dataset['path'] ?? '/')}${text}`,
    init: { method: form.dataset['method'], headers, body: area?.value.trim(), cache: 'no-store' },
  }
}

function fill(form: HTMLFormElement, path: string): string {
  return path.replaceAll(/\{([^{}]+)\}/g, (_all, name: string) => {
    const input = [...form.querySelectorAll<HTMLInputElement>('input[data-in=path]')].find(
      each => each.name === name,
    )
    return encodeURIComponent(input?.value ?? '')
  })
}

function showAnswer(form: HTMLFormElement, response: Response, text: string): void {
  form.querySelector<HTMLElement>('.outcome')!.hidden = false
  const line = form.querySelector<HTMLElement>('.status-line')!
  const marker = response.headers.get('lockstep-marker')
  line.replaceChildren(
    create('span', `status ${response.ok ? 'good' : 'bad'}`, String(response.status)),
    create(
      'span',
      'note',
      [response.statusText, response.headers.get('etag'), marker && `marker ${marker}`]
        .filter(Boolean)
        .join('  '),
    ),
  )
  form.querySelector<HTMLElement>('.answer code')!.textContent = pretty(text).slice(0, 100_000) || '(no body)'
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

interface Hearing {
  /** Resolves when the stream is at its present, `false` where it cannot be heard. */
  readonly ready: Promise<boolean>
  /** Gives each message of the cause, until all up to the marker have come; how many there were. */
  collect(cause: string, marker: string | null, show: (message: Heard) => void): Promise<number>
}

/** Reads the feed as an event stream, from now on. */
function hear(feed: string, signal: AbortSignal): Hearing {
  const waiting: Heard[] = []
  let wake = (): void => {}
  let reached = -1
  let isOver = false
  const headers = new Headers({ accept: 'text/event-stream' })
  if (credentials.value !== '') headers.set(credentials.name, credentials.value)
  const take = (block: string): boolean => {
    const lines = block.split('\n')
    const find = (name: string): string =>
      lines.find(line => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? ''
    const data = find('data')
    if (data === '') return false
    reached = Math.max(reached, Number(find('id').split(':').at(-1)))
    if (find('event') === '') waiting.push(JSON.parse(data) as Heard)
    wake()
    return find('event') === 'head'
  }
  const ready = (async () => {
    const response = await fetch(feed, {
      headers,
      signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
      cache: 'no-store',
    })
    if (!response.ok || response.body === null) return false
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    const readOn = async (untilHead: boolean): Promise<void> => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        const blocks = (rest + value).split('\n\n')
        rest = blocks.pop() ?? ''
        const isAtHead = blocks.map(take).some(Boolean)
        if (untilHead && isAtHead) return
      }
      isOver = true
      wake()
    }
    await readOn(true)
    readOn(false).catch(() => {
      isOver = true
      wake()
    })
    return true
  })().catch(() => false)
  return {
    ready,
    async collect(cause, marker, show) {
      const target =
        marker === null ? reached : Math.max(...marker.split(',').map(each => Number(each.split(':')[2])))
      const deadline = performance.now() + 10_000
      let count = 0
      for (;;) {
        for (const message of waiting.splice(0)) {
          if (message.cause !== cause) continue
          show(message)
          count++
        }
        if (reached >= target || isOver || performance.now() > deadline) return count
        await new Promise<void>(resolve => {
          wake = resolve
          setTimeout(resolve, 500)
        })
      }
    },
  }
}

let messages: Promise<Schema | undefined> | undefined

function showMessage(list: HTMLElement, message: Heard, response: Response, method: string): void {
  const topic = topicOf(message, response, method)
  const item = document.createElement('li')
  const head = create('p', 'line')
  head.append(create('span', 'method method-message', message.event ?? ''), create('code', 'path', topic))
  const check = create('p', 'note', 'Checking …')
  const pre = document.createElement('pre')
  pre.append(create('code', '', JSON.stringify(message, null, 2)))
  item.append(head, create('p', 'note', `marker ${message.id ?? ''}`), check, pre)
  list.append(item)
  messages ??= fetch('asyncapi.json').then(answer =>
    answer.ok ? (answer.json() as Promise<Schema>) : undefined,
  )
  void messages.then(
    document => {
      const outcome = document === undefined ? undefined : checkMessage(document, topic, message)
      check.textContent =
        outcome === undefined ? 'There is no document of messages to check it by.' : outcome.text
      check.className = `note ${outcome?.isGood === true ? 'good' : 'bad'}`
    },
    () => {
      check.textContent = 'The document of messages could not be read.'
    },
  )
}

/** A creation by POST goes to the topic of its collection, all else to that of the resource; the prefix is that of the answer. */
function topicOf({ event, resource = '' }: Heard, response: Response, method: string): string {
  const own = resource.slice(1)
  const collection = own.split('/').slice(0, -1).join('/')
  const given = response.headers.get('lockstep-topic') ?? ''
  const stream = own.split('/', 1)[0]!
  const prefix =
    /^(.*\/)?/.exec(given.slice(0, Math.max(0, `/${given}`.lastIndexOf(`/${stream}`))))?.[0] ?? ''
  return prefix + (event === 'created' && method === 'POST' ? collection : own)
}
