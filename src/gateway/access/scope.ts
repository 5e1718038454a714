/** Scopes: what a key or token reaches. `people:read`, `people:write` (which reads too), `*:read`, `*:write`. */

const scopeForm = /^(\*|[a-z][a-z0-9_-]*):(read|write)$/

export function isScope(text: string): boolean {
  return scopeForm.test(text)
}

/** Reads only what changes nothing. A method that is not known counts as one that writes. */
export function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

/** May the request go to the service? What leads to no service, such as a page of the gateway, takes any scope. */
export function allows(scopes: readonly string[], service: string | undefined, method: string): boolean {
  return scopes.some(scope => {
    const colon = scope.indexOf(':')
    const right = scope.slice(colon + 1)
    if (right !== 'write' && (right !== 'read' || !isReading(method))) return false
    const name = scope.slice(0, colon)
    return name === '*' || service === undefined || name === service
  })
}
