/** Whose request it is: the address of the client, behind as many proxies of our own as the configuration says. */
import { isIP } from 'node:net'

/**
 * Gives the client's address. Of `X-Forwarded-For` only the last `trustedHops` entries were written by proxies of our own;
 * what stands before them anybody may have written. Without trusted hops the field counts for nothing.
 */
export function readClientAddress(
  peer: string | undefined,
  forwardedFor: string | string[] | undefined,
  trustedHops: number,
): string {
  const own = plainAddress(peer ?? '') ?? 'unknown'
  if (trustedHops === 0 || forwardedFor === undefined) return own
  const entries = String(forwardedFor).split(',', 1_000)
  const entry = entries[Math.max(0, entries.length - trustedHops)] ?? ''
  return plainAddress(entry.trim()) ?? own
}

/** An IPv4 address that came over an IPv6 socket is an IPv4 address; a port or brackets are cut off. */
function plainAddress(text: string): string | undefined {
  const bare = text.replace(/^\[([^\]]*)\](?::\d+)?$/, '$1').replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
  const address = bare.startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare
  return isIP(address) === 0 ? undefined : address
}
