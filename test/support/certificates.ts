/** Certificates for tests: an authority, a server at 127.0.0.1, and clients with the names of users. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from './broker-program.ts'

const run = promisify(execFile)
const openssl = findProgram('openssl')

export const skipWithoutOpenssl: string | false =
  openssl === undefined ? 'the program openssl is not installed' : false

/** As PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Certificates {
  /** The authority's own. */
  readonly ca: string
  readonly server: Certificate
  readonly clients: Readonly<Record<string, Certificate>>
}

export async function makeCertificates(clients: readonly string[]): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'lockstep-tls-'))
  try {
    await makeKey(dir, 'ca', ['-x509', '-days', '2', '-subj', '/CN=an authority for tests'])
    const server = await sign(dir, 'server', 'IP:127.0.0.1')
    const signed: [string, Certificate][] = []
    for (const name of clients) signed.push([name, await sign(dir, name, `DNS:${name}`)])
    return { ca: await readFile(join(dir, 'ca.out'), 'utf8'), server, clients: Object.fromEntries(signed) }
  } finally {
    await rm(dir, { recursive: true })
  }
}

/** A new key, and with it a request or, for the authority, a certificate. */
async function makeKey(dir: string, name: string, more: readonly string[]): Promise<void> {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const files = ['-keyout', join(dir, `${name}.key`), '-out', join(dir, `${name}.out`)]
  await run(openssl!, ['req', ...curve, ...files, ...more])
}

async function sign(dir: string, name: string, alternative: string): Promise<Certificate> {
  await makeKey(dir, name, ['-subj', `/CN=${name}`])
  const extensions = join(dir, `${name}.ext`)
  await writeFile(extensions, `subjectAltName=${alternative}\n`)
  const authority = [
    '-CA',
    join(dir, 'ca.out'),
    '-CAkey',
    join(dir, 'ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
  ]
  const files = ['-in', join(dir, `${name}.out`), '-out', join(dir, `${name}.crt`), '-extfile', extensions]
  await run(openssl!, ['x509', '-req', ...authority, ...files])
  const read = (end: string): Promise<string> => readFile(join(dir, `${name}.${end}`), 'utf8')
  return { cert: await read('crt'), key: await read('key') }
}
