/** What the demo reads from the environment. */
import { resolve } from 'node:path'

/** Reads a port: a whole number up to 65535; 0 takes any free one. */
export function readPort(name: string, fallback: number): number {
  const text = process.env[name]
  if (text === undefined || text === '') return fallback
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    stopWithMessage(`${name}=${text} is not a port. Give a number from 0 to 65535.`)
  return port
}

/** Reads a folder, as an absolute path; empty is as good as not set. */
export function readFolder(name: string, fallback: string): string {
  return resolve(process.env[name] || fallback)
}

/** A full disk or a closed terminal behind the output is no reason to end a service. */
export function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

/** Ends the program with one clear sentence instead of a stack trace. */
export function stopWithMessage(failure: unknown): never {
  console.error(failure instanceof Error ? failure.message : String(failure))
  process.exit(1)
}

/** Ends the program with the failure and the setting that would mend it. */
export function stopNaming(setting: string): (failure: Error) => never {
  return failure => stopWithMessage(`${failure.message} (${setting} sets it.)`)
}
