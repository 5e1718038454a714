/** How far a page is in each stream: a marker, read. PROTOCOL.md §5.2. */

/** How far a page is in a stream. */
export interface Place {
  readonly epoch: string
  readonly seq: number
}

/** What cannot be read is left out: the bridge asks for a refresh of a stream without a place. */
export function parsePlaces(marker: string): Map<string, Place> {
  const positions = marker.matchAll(/([^,:\s]+):(\w+):(\d+)/g)
  return new Map(
    [...positions].map(([, stream, epoch, seq]) => [stream!, { epoch: epoch!, seq: Number(seq) }]),
  )
}
