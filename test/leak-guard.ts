/**
 * Loaded before each test file: ends a file whose tests have ended or hang while something keeps it alive.
 *
 * The runner's own timeout covers a single test only; a socket or timer that a test left open would keep the
 * file, and with it the whole run, waiting for ever. The guard names what is open and fails the file.
 */
const fileTimeoutMs = 180_000

setTimeout(() => {
  const open = process.getActiveResourcesInfo().filter(name => name !== 'TTYWrap' && name !== 'PipeWrap')
  console.error(`This test file still runs after ${fileTimeoutMs / 1000} s. Open: ${open.join(', ')}.`)
  process.exit(1)
}, fileTimeoutMs).unref()
