#!/usr/bin/env node
/** The program `lockstep`. Turns away an old Node before anything is loaded that it could not read. */
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `lockstep needs Node 24 or later; this is ${process.version}. Install it from https://nodejs.org.`,
  )
  process.exitCode = 1
} else {
  // The second start is faster by what need not be compiled again.
  const { enableCompileCache } = await import('node:module')
  enableCompileCache()
  const { main } = await import('./main.ts')
  await main(process.argv)
}
