/** What a check of an API found, as data and as JUnit XML. */

export interface CheckResult {
  /** Stable: `write.no-op`. */
  readonly id: string
  /** The rules of PROTOCOL.md that were judged. */
  readonly rule: string
  /** What holds where it passes. */
  readonly title: string
  readonly status: 'passed' | 'failed' | 'skipped'
  /** How much was looked at, why it was skipped, or how many faults there are. */
  readonly note: string
  /** The first faults, in words. */
  readonly faults: readonly string[]
  readonly tookMs: number
}

export interface CheckReport {
  readonly ok: boolean
  readonly api: string
  /** Where the resources come from: a document or a file. */
  readonly source: string
  /** The collections that were written to. */
  readonly collections: readonly string[]
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly tookMs: number
  readonly results: readonly CheckResult[]
}

/** Writes a report as JUnit XML, as build servers read it: a test case per check. */
export function formatJunit({ api, results, failed, skipped, tookMs }: CheckReport): string {
  const seconds = (ms: number): string => (ms / 1_000).toFixed(3)
  const cases = results.map(({ id, rule, title, status, note, faults, tookMs: own }) => {
    const [group] = id.split('.')
    const open = `    <testcase classname="lockstep.${group}" name="${toXml(`${id}: ${title} (${rule})`)}" time="${seconds(own)}"`
    if (status === 'passed') return `${open}/>`
    const inner =
      status === 'skipped'
        ? `<skipped message="${toXml(note)}"/>`
        : `<failure message="${toXml(faults[0] ?? note)}">${toXml(faults.join('\n'))}</failure>`
    return `${open}>\n      ${inner}\n    </testcase>`
  })
  const counts = `tests="${results.length}" failures="${failed}" errors="0" skipped="${skipped}" time="${seconds(tookMs)}"`
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="lockstep check ${toXml(api)}" ${counts}>`,
    ...cases,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}

/** What XML 1.0 cannot hold at all becomes a replacement character. */
function toXml(text: string): string {
  return (
    text
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
  )
}
