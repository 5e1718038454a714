/** What the pages show, as functions of the states: the server renders with them, and the browser goes on with the same. */
import { type Html, html, type States } from 'lockstep/live/views'

type State = ReturnType<States['list']>[number]

/** The projects, each with its people and its newest build. */
export function projectCards(states: States): Html {
  return html`${states.list('/projects').map(project => projectCard(states, project))}`
}

function projectCard(states: States, project: State): Html {
  const id = text(project['id'])
  const [newest] = buildsOf(states, id)
  const owner = text(project['owner'])
  const members = list(project['members']).filter(member => member !== owner)
  return html`<article class="card project" id="project-${id}" aria-labelledby="name-${id}">
    <div class="card-head">
      <img class="emblem" src="${text(project['avatar'])}" alt="" width="48" height="48">
      <div>
        <h3 id="name-${id}">${text(project['name'])}</h3>
        <p class="soft">${inEnglish(project['description'])}</p>
      </div>
    </div>
    ${newest ? buildLine(newest) : html`<p class="soft">No build yet.</p>`}
    <dl class="people">
      <div><dt>Owner</dt><dd>${personLink(states, owner)}</dd></div>
      <div><dt>Members</dt><dd><ul class="plain">${members.map(member => html`<li>${personLink(states, member)}</li>`)}</ul></dd></div>
    </dl>
  </article>`
}

function buildLine(build: State): Html {
  const id = text(build['id'])
  const status = text(build['status'])
  const progress = Number(build['progress'])
  return html`<div class="build ${status}" id="build-${id}">
    <p class="build-head">
      <label for="progress-${id}">Build ${text(build['number'])}</label>
      <span class="chip ${status}">${status}</span>
      <span class="percent">${progress} %</span>
    </p>
    <progress id="progress-${id}" max="100" value="${progress}">${progress} %</progress>
  </div>`
}

/** The builds of all projects, the newest first. */
export function buildRows(states: States): Html {
  const rows = states.list('/projects').flatMap(project => {
    return buildsOf(states, text(project['id'])).map(build => buildRow(project, build))
  })
  return html`${rows}`
}

function buildRow(project: State, build: State): Html {
  const id = text(build['id'])
  const status = text(build['status'])
  const progress = Number(build['progress'])
  return html`<tr id="row-${id}" class="${status}">
    <th scope="row">${text(project['name'])} <span class="soft">#${text(build['number'])}</span></th>
    <td><span class="chip ${status}">${status}</span></td>
    <td><progress aria-label="Progress of ${text(project['name'])} ${text(build['number'])}" max="100" value="${progress}">${progress} %</progress></td>
    <td class="number">${progress} %</td>
  </tr>`
}

/** Everybody, as links to their pages. */
export function peopleCards(states: States): Html {
  return html`${states.list('/users').map(person => {
    const id = text(person['id'])
    return html`<li id="person-${id}"><a class="card person-card" href="/people/${encodeURIComponent(id)}">
      ${picture(person, 56)}
      <span><strong>${text(person['name'])}</strong><span class="soft">${text(person['email']) || 'no email'}</span></span>
    </a></li>`
  })}`
}

/** The projects that a person has a part in; `path` is the person's. */
export function projectsOfPerson(states: States, path: string): Html {
  const id = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
  const mine = states.list('/projects').filter(project => {
    return project['owner'] === id || list(project['members']).includes(id)
  })
  if (mine.length === 0) return html`<li class="soft">In no project.</li>`
  return html`${mine.map(project => {
    const role = project['owner'] === id ? 'owner' : 'member'
    return html`<li id="part-${text(project['id'])}">
      <img class="emblem" src="${text(project['avatar'])}" alt="" width="32" height="32">
      <span>${text(project['name'])}</span> <span class="chip">${role}</span>
    </li>`
  })}`
}

function personLink(states: States, id: string): Html {
  const person = states.get(`/users/${id}`)
  if (person === undefined) return html`<span class="person soft">${id}</span>`
  return html`<a class="person" href="/people/${encodeURIComponent(id)}">${picture(person, 24)}${text(person['name'])}</a>`
}

function picture(person: State, size: number): Html {
  return html`<img class="face" src="${text(person['picture'])}" alt="" width="${size}" height="${size}">`
}

function buildsOf(states: States, project: string): readonly State[] {
  const builds = states.list('/builds').filter(build => build['project'] === project)
  return builds.toSorted((a, b) => Number(b['number']) - Number(a['number']))
}

function inEnglish(value: unknown): string {
  if (typeof value !== 'object' || value === null) return text(value)
  return text('en' in value ? value.en : Object.values(value)[0])
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : []
}

function text(value: unknown): string {
  return value === undefined || value === null ? '' : String(value)
}
