#!/usr/bin/env node
/** The program `lockstep`. Turns away an old Node before anything is loaded that it could not read. */
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `lockstep needs Node 24 or later; this is ${process.version}. Install it from https://nodejs.org.`,
  )
  process.exitCode = 1
} else {
  const { main } = await import('./main.ts')
  await main(process.argv)
}
