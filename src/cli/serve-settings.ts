/** What holds for `lockstep serve` once options, file and defaults are put together. */
import { dirname, join, resolve } from 'node:path'
import type { ServedFile } from './served-file.ts'

/** As given on the command line. */
export interface ServeOptions {
  readonly port?: number
  readonly host?: string
  readonly mqttPort?: number
  readonly broker?: string
  readonly root?: string
  readonly topicPrefix?: string
  readonly data?: string
  readonly memory?: true
  readonly reset?: true
  readonly readOnly?: true
}

export interface ServeSettings {
  readonly port: number
  readonly host: string
  readonly mqttPort: number
  readonly broker: string | undefined
  readonly root: string
  readonly topicPrefix: string
  /** `undefined` keeps everything in memory. */
  readonly data: string | undefined
  readonly reset: boolean
  readonly readOnly: boolean
}

/** An option wins over the file, the file over the default. */
export function combineSettings(file: ServedFile, options: ServeOptions): ServeSettings {
  const { settings } = file
  const folder = dirname(file.path)
  const kept =
    settings.data === undefined ? join(folder, '.lockstep', file.name) : resolve(folder, settings.data)
  return {
    port: options.port ?? settings.port ?? 3000,
    host: options.host ?? settings.host ?? '127.0.0.1',
    mqttPort: options.mqttPort ?? settings.mqttPort ?? 1883,
    broker: options.broker,
    root: options.root ?? settings.root ?? '',
    topicPrefix: options.topicPrefix ?? settings.topicPrefix ?? '',
    data: options.memory ? undefined : options.data === undefined ? kept : resolve(options.data),
    reset: options.reset === true,
    readOnly: options.readOnly === true,
  }
}

/** The names of the settings in which they differ. */
export function listDifferences(running: ServeSettings, next: ServeSettings): string[] {
  const names = Object.keys(running) as (keyof ServeSettings)[]
  return names.filter(name => running[name] !== next[name])
}
