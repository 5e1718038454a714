/** The pictures of people and projects, drawn from their ids, so that nothing has to be fetched from elsewhere. */

/** A picture as SVG; `lockstep` is the mark of the whole. */
export function drawPicture(id: string): string {
  if (id === 'lockstep') return mark
  const hue = [...id].reduce((sum, letter) => (sum * 67 + letter.codePointAt(0)! * 11) % 360, 200)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="hsl(${hue} 50% 38%)"/><path d="M0 52 64 24v40H0z" fill="hsl(${hue} 55% 31%)"/><text x="32" y="42" text-anchor="middle" font-family="system-ui, sans-serif" font-size="27" font-weight="600" fill="#fff">${initialsOf(id)}</text></svg>`
}

/** Two bars that walk in step. */
const mark = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="16" fill="#2f5bea"/><path d="M18 44V28m14 16V18m14 26V28" stroke="#fff" stroke-width="8" stroke-linecap="round"/></svg>`

/** Two letters or digits and nothing else, so that they can stand in the SVG as they are. */
function initialsOf(id: string): string {
  const letters = [...id].filter(letter => /[\p{L}\p{N}]/u.test(letter))
  return letters.slice(0, 2).join('').toUpperCase()
}
