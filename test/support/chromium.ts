/** A real Chromium for tests, headless. */
import { type Browser, chromium, type LaunchOptions } from 'playwright-core'
import { findProgram } from './mosquitto.ts'

const executablePath = findProgram('chromium') ?? findProgram('google-chrome')

/** For `node:test`: the reason to skip where the program is missing, else `false`. */
export const skipWithoutChromium: string | false =
  executablePath === undefined ? 'the program chromium is not installed' : false

/** Starts it; one for a whole file of tests is enough, with a context for each. */
export async function startChromium(options: LaunchOptions = {}): Promise<Browser> {
  return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'], ...options })
}
