/**
 * A process that writes to a SQLite log, to be killed: `node log-writer.ts <file> <writers> <changes each>`.
 *
 * Each writer counts up resources of its own and one that all share. Every acknowledged change is told on
 * standard output, one line `path version seq epoch` each.
 */
import { openSqliteLog } from '../../src/log/sqlite.ts'
import { save } from '../suites/change-log.ts'

const [file = '', writers = '1', changes = 'Infinity'] = process.argv.slice(2)
await using log = await openSqliteLog({ file })
await log.ensureStreams(['people'])

async function write(writer: number): Promise<void> {
  for (let n = 1; n <= Number(changes); n++) {
    const path = n % 4 === 0 ? '/people/shared' : `/people/${process.pid}-${writer}-${n % 3}`
    const { value, marker } = await log.write(async tx => {
      const { version, stateText } = await tx.read(path)
      // Deletions and re-creations take part.
      await save(tx, path, stateText !== undefined && n % 5 === 0 ? undefined : { writer, n })
      return version + 1
    })
    process.stdout.write(`${path} ${value} ${marker[0]?.seq} ${marker[0]?.epoch}\n`)
  }
}

await Promise.all(Array.from({ length: Number(writers) }, (_, writer) => write(writer)))
