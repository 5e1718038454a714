/** A change log that differs from another one in some of its calls. */
import type { ChangeLog } from '../log/change-log.ts'

const bases = new WeakMap<ChangeLog, ChangeLog>()

/** Makes a log that does what `log` does, but for `calls`. */
export function wrapLog(log: ChangeLog, calls: Partial<ChangeLog>): ChangeLog {
  const wrapped: ChangeLog = {
    ensureStreams: streams => log.ensureStreams(streams),
    write: work => log.write(work),
    head: stream => log.head(stream),
    readResource: path => log.readResource(path),
    readCollection: (path, options) => log.readCollection(path, options),
    readChanges: (stream, options) => log.readChanges(stream, options),
    readLatest: (stream, options) => log.readLatest(stream, options),
    relayed: stream => log.relayed(stream),
    setRelayed: (stream, epoch, seq) => log.setRelayed(stream, epoch, seq),
    prune: retention => log.prune(retention),
    renewEpoch: stream => log.renewEpoch(stream),
    settle: () => log.settle(),
    onCommit: listener => log.onCommit(listener),
    close: () => log.close(),
    [Symbol.asyncDispose]: () => log.close(),
    ...calls,
  }
  bases.set(wrapped, baseOf(log))
  return wrapped
}

/** The log at the bottom, on which one unit of work waits for another. */
export function baseOf(log: ChangeLog): ChangeLog {
  return bases.get(log) ?? log
}
