/** The live part: bridges that keep pages live, and what a server needs to render such pages. */
export * from '../observe/index.ts'
export type { AccessOptions, AccessQuestion } from './access.ts'
export { type Bridge, type BridgeHealth, mountBridge, openBridge } from './bridge.ts'
export type { BridgeLimits, BridgeOptions } from './bridge-options.ts'
export { type BrowserFiles, type BrowserFilesOptions, createBrowserFiles } from './browser-files.ts'
export type { Clock } from './clock.ts'
export type { Counters } from './counters.ts'
export {
  createPages,
  type Page,
  type PageOptions,
  type Pages,
  type PagesOptions,
  type StateOfPath,
  type Wanted,
} from './page.ts'
export type { HoldReason, RefreshReason } from './seat.ts'
export type { ApiPlace, LiveSource } from './source.ts'
export type { StreamHealth } from './stream-keepers.ts'
export { formatTag, type Held, type TagContent } from './tag.ts'
export { createTickets, type Grant, type TicketKey, type Tickets, type TicketsOptions } from './ticket.ts'
export type { Follow } from './view.ts'
