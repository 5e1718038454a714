/** The folder where the demo keeps its data: made where it is missing, and taken by one demo at a time. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { stopWithMessage } from './settings.ts'

/** Locks end with the process that holds them, however it ends; a database that is open must not be forgotten. */
let held: DatabaseSync | undefined

/** Takes the folder until the process ends, or ends the program with one clear sentence. */
export function takeDataFolder(folder: string): void {
  try {
    makeFolder(folder)
    held = new DatabaseSync(join(folder, 'demo.lock'))
    held.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (message.includes('locked'))
      stopWithMessage(
        `The data folder ${folder} is in use by another demo. Stop that, or give DATA_DIR another folder.`,
      )
    const reason = code === 'ERR_SQLITE_ERROR' ? message : code
    stopWithMessage(
      `The data folder ${folder} cannot be made (${reason}). Give DATA_DIR a folder, or leave it out.`,
    )
  }
}

/** Folder after folder: Node's own way to make several never comes back where the file system refuses, as /proc does. */
function makeFolder(folder: string): void {
  if (!existsSync(dirname(folder))) makeFolder(dirname(folder))
  mkdirSync(folder, { recursive: existsSync(folder) })
}
