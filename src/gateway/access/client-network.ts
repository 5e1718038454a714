/** The network that a client's address stands for: whoever has one address of an IPv6 /64 has them all. */
import { isIPv4, isIPv6 } from 'node:net'

/** `2001:db8:1:2::/64`, or the IPv4 address, also of one that is mapped into IPv6. What is no address is taken as it is. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const plain = address.split('%', 1)[0]!.toLowerCase()
  if (!isIPv6(plain)) return plain
  const groups = expand(plain)
  const isMapped = groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff
  if (isMapped) return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  return `${groups
    .slice(0, 4)
    .map(group => group.toString(16))
    .join(':')}::/64`
}

/** The eight groups of an address. */
function expand(address: string): readonly number[] {
  const end = address.slice(address.lastIndexOf(':') + 1)
  let text = address
  if (isIPv4(end)) {
    const [a, b, c, d] = end.split('.').map(Number) as [number, number, number, number]
    text = `${address.slice(0, -end.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  }
  const [head = '', tail] = text.split('::', 2)
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16))
  const first = parse(head)
  if (tail === undefined) return first
  const last = parse(tail)
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last]
}
