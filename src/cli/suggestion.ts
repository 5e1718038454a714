/** What somebody may have meant by a name that is not known. */

/** ` (did you mean "port"?)`, or the names there are where none is near. */
export function suggest(name: string, known: readonly string[]): string {
  const [nearest] = known
    .map(other => ({ other, distance: distanceOf(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ other, distance }) => distance <= Math.max(1, Math.floor(other.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return nearest === undefined ? `; there are ${known.join(', ')}` : ` (did you mean "${nearest.other}"?)`
}

/** Is the name so near to a known one that it is probably misspelt? */
export function isNear(name: string, known: readonly string[]): boolean {
  return suggest(name, known).startsWith(' (')
}

/** How many letters must be added, removed or changed (Levenshtein). */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
