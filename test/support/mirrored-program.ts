/**
 * Programs that nobody here wrote, for the sidecar to stand before. They are installed beside the tests, never among the project's
 * dependencies: `npm run test:mirrored`.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BrokerProgram, freePort, makeProgramFolder, startBrokerProgram } from './broker-program.ts'

const folder = fileURLToPath(new URL('../sidecar/programs/node_modules/', import.meta.url))

/** For `node:test`: the reason to skip where it is not installed, else `false`. */
export function skipWithoutPackage(name: string): string | false {
  return existsSync(join(folder, name)) ? false : `${name} is not installed: npm run test:mirrored`
}

export interface MirroredProgram extends Omit<BrokerProgram, 'url'> {
  readonly url: string
}

export interface MirroredCommand {
  /** The package, and the file in it that is run. */
  readonly file: string
  readonly args: (port: number, dir: string) => readonly string[]
  /** What it prints when it takes requests. */
  readonly ready: RegExp
  /** Files in its folder. `{port}` stands for the port, `{dir}` for the folder. */
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program of the folder, on a port that stays the same. */
export async function startMirrored(name: string, command: MirroredCommand): Promise<MirroredProgram> {
  const { file, args, ready, files = {}, env = {} } = command
  const port = await freePort()
  const withPort = Object.entries(files).map(([each, text]) => [
    each,
    text.replaceAll('{port}', String(port)),
  ])
  const dir = await makeProgramFolder(name, Object.fromEntries(withPort))
  const program = await startBrokerProgram(port, dir, {
    program: name,
    path: process.execPath,
    args: [join(folder, file), ...args(port, dir)],
    env,
    ready,
  })
  return Object.assign(program, { url: `http://127.0.0.1:${port}` })
}

/** json-server with this content; it keeps it in a file, which it replaces as a whole shortly after each write. */
export function startJsonServer(content: object): Promise<MirroredProgram> {
  return startMirrored('json-server', {
    file: 'json-server/lib/cli/bin.js',
    files: { 'db.json': JSON.stringify(content) },
    args: (port, dir) => ['--port', String(port), '--host', '127.0.0.1', join(dir, 'db.json')],
    ready: /Home/,
  })
}
