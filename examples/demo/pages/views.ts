/** What the pages show, as functions of the states: the server renders with them, and the browser goes on with the same. */
import { type Html, html, type States } from 'lockstep/live/views'
import type { Build } from '../builds.ts'
import type { Project } from '../projects.ts'
import type { User } from '../users.ts'

/** The projects, each with its people and its newest build. */
export function projectCards(states: States): Html {
  return html`${states.list<Project>('/projects').map(project => projectCard(states, project))}`
}

function projectCard(states: States, project: Project): Html {
  const { id, owner } = project
  const [newest] = buildsOf(states, id)
  const members = (project.members ?? []).filter(member => member !== owner)
  return html`<article class="card project" id="project-${id}" aria-labelledby="name-${id}">
    <div class="card-head">
      <img class="emblem" src="${project.avatar}" alt="" width="48" height="48">
      <div>
        <h3 id="name-${id}">${project.name}</h3>
        <p class="soft">${inEnglish(project.description)}</p>
      </div>
    </div>
    ${newest ? buildLine(newest) : html`<p class="soft">No build yet.</p>`}
    <dl class="people">
      <div><dt>Owner</dt><dd>${personLink(states, owner)}</dd></div>
      <div><dt>Members</dt><dd><ul class="plain">${members.map(member => html`<li>${personLink(states, member)}</li>`)}</ul></dd></div>
    </dl>
  </article>`
}

function buildLine({ id, number, status, progress }: Build): Html {
  return html`<div class="build ${status}" id="build-${id}">
    <p class="build-head">
      <label for="progress-${id}">Build ${number}</label>
      <span class="chip ${status}">${status}</span>
      <span class="percent">${progress} %</span>
    </p>
    <progress id="progress-${id}" max="100" value="${progress}">${progress} %</progress>
  </div>`
}

/** The builds of all projects, the newest first. */
export function buildRows(states: States): Html {
  const rows = states.list<Project>('/projects').flatMap(project => {
    return buildsOf(states, project.id).map(build => buildRow(project, build))
  })
  return html`${rows}`
}

function buildRow(project: Project, build: Build): Html {
  const { id, status, progress } = build
  return html`<tr id="row-${id}" class="${status}">
    <th scope="row">${project.name} <span class="soft">#${build.number}</span></th>
    <td><span class="chip ${status}">${status}</span></td>
    <td><progress aria-label="Progress of ${project.name} ${build.number}" max="100" value="${progress}">${progress} %</progress></td>
    <td class="number">${progress} %</td>
  </tr>`
}

/** Everybody, as links to their pages. */
export function peopleCards(states: States): Html {
  return html`${states.list<User>('/users').map(person => {
    const id = person.id
    return html`<li id="person-${id}"><a class="card person-card" href="/people/${encodeURIComponent(id)}">
      ${picture(person, 56)}
      <span><strong>${person.name}</strong><span class="soft">${person.email || 'no email'}</span></span>
    </a></li>`
  })}`
}

/** The projects that a person has a part in; `path` is the person's. */
export function projectsOfPerson(states: States, path: string): Html {
  const id = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
  const mine = states.list<Project>('/projects').filter(project => {
    return project.owner === id || (project.members ?? []).includes(id)
  })
  if (mine.length === 0) return html`<li class="soft">In no project.</li>`
  return html`${mine.map(project => {
    const role = project.owner === id ? 'owner' : 'member'
    return html`<li id="part-${project.id}">
      <img class="emblem" src="${project.avatar}" alt="" width="32" height="32">
      <span>${project.name}</span> <span class="chip">${role}</span>
    </li>`
  })}`
}

function personLink(states: States, id: string): Html {
  const person = states.get<User>(`/users/${encodeURIComponent(id)}`)
  if (person === undefined) return html`<span class="person soft">${id}</span>`
  return html`<a class="person" href="/people/${encodeURIComponent(id)}">${picture(person, 24)}${person.name}</a>`
}

function picture(person: User, size: number): Html {
  return html`<img class="face" src="${person.picture}" alt="" width="${size}" height="${size}">`
}

function buildsOf(states: States, project: string): readonly Build[] {
  const builds = states.list<Build>('/builds').filter(build => build.project === project)
  return builds.toSorted((a, b) => b.number - a.number)
}

function inEnglish(texts: Project['description']): string {
  return texts?.['en'] ?? Object.values(texts ?? {})[0] ?? ''
}
