/** Does the same work once for all who ask for it at the same time. Keeps nothing when the work is done. */
export type Share = <T>(key: string, work: () => Promise<T>) => Promise<T>

/** A key MUST always stand for the same kind of work. */
export function createShare(): Share {
  const running = new Map<string, Promise<unknown>>()
  return <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const known = running.get(key) as Promise<T> | undefined
    if (known !== undefined) return known
    const result = work()
    const end = (): void => void running.delete(key)
    running.set(key, result)
    result.then(end, end)
    return result
  }
}
