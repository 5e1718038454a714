/** What a comparison of two documents finds. */

/** `breaking`: a client that was right before may fail now. `warning`: it may, in cases that are rare or were never promised. */
export type Severity = 'breaking' | 'warning' | 'info'

export interface Finding {
  /** The name of the rule, such as `operation-removed`. */
  readonly rule: string
  readonly severity: Severity
  /** Where: a JSON Pointer into the later document, or into the earlier one where it is gone. */
  readonly pointer: string
  readonly detail: string
}

/** Takes a finding. */
export type Report = (severity: Severity, rule: string, pointer: string, detail: string) => void
