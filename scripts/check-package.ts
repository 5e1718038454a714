/** Builds the package and has two judges look at what npm would pack: `npm run check:package`. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const root = path.dirname(import.meta.dirname)
const steps: readonly (readonly [title: string, script: string, ...args: string[]])[] = [
  ['build', 'scripts/build.ts'],
  ['publint', 'node_modules/publint/src/cli.js', 'run', 'dist', '--strict', '--pack', 'npm'],
  [
    'are the types wrong',
    'node_modules/@arethetypeswrong/cli/dist/index.js',
    '--pack',
    'dist',
    '--profile',
    'esm-only',
  ],
]

for (const [title, script, ...args] of steps) {
  console.log(`check-package: ${title}`)
  try {
    execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  } catch {
    console.error(`check-package: ${title} found problems (see above).`)
    process.exit(1)
  }
}
