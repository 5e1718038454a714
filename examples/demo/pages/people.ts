/** Everybody, and one person's page, which several windows may edit at once. */
import { createStates, html } from 'lockstep/live/views'
import type { Site } from '../site.ts'
import { renderPage } from './layout.ts'
import { peopleCards, projectsOfPerson } from './views.ts'

export async function renderPeople({ pages }: Site): Promise<string> {
  const { held, tag } = await pages.read({ users: '/users' })
  return renderPage({
    title: 'People',
    path: '/people',
    tag,
    script: '/assets/browser/dashboard.ts',
    body: html`
    <h1>People</h1>
    <p class="lead">Open somebody in two windows and change them in one.</p>
    <ul class="plain grid" data-live-view="peopleCards">${peopleCards(createStates(held))}</ul>`,
  })
}

/** `undefined` where there is no such person. */
export async function renderPerson({ pages }: Site, id: string): Promise<string | undefined> {
  const path = `/users/${encodeURIComponent(id)}`
  const { held, states, tag } = await pages.read({ person: path, projects: '/projects' })
  const person = states.person as Readonly<Record<string, unknown>> | undefined
  if (person === undefined) return undefined
  const name = String(person['name'])
  const field = (member: string, label: string, type: string) => {
    const value = String(person[member] ?? '')
    return html`<div class="field">
            <label for="${member}">${label}</label>
            <input id="${member}" name="${member}" type="${type}" maxlength="200" autocomplete="off" value="${value}" data-live="#/${member}"${
              member === 'name' ? html` required` : ''
            } aria-describedby="${member}-news">
            <input type="hidden" name="was-${member}" value="${value}" data-live="#/${member}">
            <p class="news" id="${member}-news" role="status"></p>
          </div>`
  }
  return renderPage({
    title: name,
    path: `/people/${id}`,
    tag,
    script: '/assets/browser/person.ts',
    body: html`
    <div data-live-path="${path}">
      <p><a href="/people">← People</a></p>
      <div class="person-head">
        <img class="face" src="${String(person['picture'] ?? '')}" alt="" width="72" height="72">
        <div>
          <h1 data-live="#/name">${name}</h1>
          <p class="soft" data-live="#/email">${String(person['email'] ?? '')}</p>
        </div>
      </div>
      <div class="columns">
        <section class="card" aria-labelledby="edit">
          <h2 id="edit">Edit</h2>
          <form method="post" action="/people/${encodeURIComponent(id)}">
          ${field('name', 'Name', 'text')}
          ${field('email', 'Email', 'email')}
            <p class="actions"><button type="submit">Save</button> <span class="news" id="saved" role="status"></span></p>
          </form>
          <p class="soft hint">Open this page in a second window beside this one. What you save there appears here, and what you are typing here is left alone.</p>
        </section>
        <section class="card" aria-labelledby="parts">
          <h2 id="parts">Projects</h2>
          <ul class="plain parts" data-live-view="projectsOfPerson">${projectsOfPerson(createStates(held), path)}</ul>
        </section>
      </div>
    </div>`,
  })
}
