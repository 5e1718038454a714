/** What stands between a service's root, as the gateway knows it, and the paths of its document. */
import { isJsonObject, type JsonObject } from '../../contract/index.ts'

/** The path of the document's first server, without `root`, which the gateway puts there by itself. */
export function serverPath({ servers }: JsonObject, root = ''): string {
  const [first] = Array.isArray(servers) ? servers.filter(isJsonObject) : []
  if (first === undefined) return ''
  let url = String(first['url'] ?? '')
  for (const [name, variable] of Object.entries((first['variables'] ?? {}) as JsonObject))
    url = url.replaceAll(`{${name}}`, String((variable as JsonObject)['default'] ?? ''))
  if (!URL.canParse(url, 'http://service.invalid')) return ''
  const path = new URL(url, 'http://service.invalid').pathname.replace(/\/+$/, '')
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : path
}
