/**
 * Trace context (W3C Trace Context, version 00) as the `cause` of a change: what it says, and how it is written.
 *
 * A change outlives the request that made it, so its `cause` may carry the place in a trace where a consumer goes on.
 * PROTOCOL.md §4.11.
 */

/** A place in a trace, in the form of OpenTelemetry's `SpanContext`. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all 0. */
  readonly traceId: string
  /** 16 lower-case hexadecimal digits, not all 0. */
  readonly spanId: string
  /** 0 to 255; 1 says that the trace is recorded. */
  readonly traceFlags: number
}

const form = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/

/** Reads a `traceparent`, such as the `cause` of a change; `undefined` for any other text, or none. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const parts = text === undefined ? null : form.exec(text)
  if (parts === null) return undefined
  return { traceId: parts[1]!, spanId: parts[2]!, traceFlags: Number.parseInt(parts[3]!, 16) }
}

/** Writes a `traceparent`; `undefined` where there is no context, or none that is valid. */
export function formatTraceparent(context: TraceContext | undefined): string | undefined {
  if (context === undefined) return undefined
  const { traceId, spanId, traceFlags } = context
  const text = `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`
  return form.test(text) ? text : undefined
}
