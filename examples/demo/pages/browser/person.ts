/** A person's page: saves what was changed without leaving it, and says where somebody else was quicker. */
import type { LiveChangeDetail } from 'lockstep/live/browser'
import { follow } from './everywhere.ts'

follow()

const form = document.querySelector('form')!
const saved = document.querySelector('#saved')!

document.addEventListener('live-change', event => {
  const { name, value, isLeft } = (event as CustomEvent<LiveChangeDetail>).detail
  const target = event.target as HTMLElement
  if (target instanceof HTMLInputElement && target.type !== 'hidden')
    tellOfNews(target, String(value), isLeft)
  else if (name === '') flash(target)
})

form.addEventListener('submit', event => {
  event.preventDefault()
  save().catch(error => {
    saved.textContent = `Not saved: ${error.message}`
  })
})

async function save(): Promise<void> {
  saved.textContent = 'Saving …'
  const response = await fetch(form.action, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(new FormData(form) as never),
  })
  if (!response.ok) throw new Error((await response.json()).detail)
  for (const field of form.querySelectorAll<HTMLInputElement>('input:not([type=hidden])')) {
    // What the message will bring as well.
    field.defaultValue = field.value
    newsOf(field).replaceChildren()
  }
  saved.textContent = 'Saved'
  setTimeout(() => {
    saved.textContent = ''
  }, 2_000)
}

/** Somebody else changed what the user is changing: both are shown, and the user chooses. */
function tellOfNews(field: HTMLInputElement, value: string, isLeft: boolean): void {
  newsOf(field).replaceChildren()
  if (!isLeft) {
    flash(field)
    return
  }
  const take = document.createElement('button')
  take.type = 'button'
  take.className = 'quiet'
  take.textContent = 'Take it'
  take.addEventListener('click', () => {
    field.value = field.defaultValue
    newsOf(field).replaceChildren()
    field.focus()
  })
  newsOf(field).append(`Changed elsewhere to “${value}”. `, take)
}

function newsOf(field: HTMLInputElement): Element {
  return document.querySelector(`#${field.name}-news`)!
}

function flash(element: HTMLElement): void {
  element.classList.remove('flash')
  // Asking for the size begins the animation anew.
  void element.offsetWidth
  element.classList.add('flash')
}
