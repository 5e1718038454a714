// Plain JavaScript on purpose: it must run, and speak clearly, on the old Node that it turns away.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `Lockstep needs Node 24 or later; this is ${process.version}. On Linux and Windows "npm ci" brings Node 24 ` +
      'as an optional dependency, for "npm run" and "npx --no-install"; elsewhere install Node 24 yourself.',
  )
  process.exit(1)
}
