/**
 * What a request is to the parts of the gateway, and what they answer by themselves.
 *
 * It is made once, before anything is decided: whoever routes, limits, authorizes or documents reads this and nothing
 * else, so that all of them decide about the same string.
 */

/** One request, as every part of the gateway sees it. */
export interface GatewayRequest {
  /** The id of the request, which the services use as `cause` of what it changes. */
  readonly id: string
  /** In upper case, as it came. */
  readonly method: string
  /**
   * The path, normalised once: unreserved characters decoded, other escapes in upper case, no dot segments, no empty
   * ones but the last, no `%2F`, `%5C` or `%00`. It is what is routed and what is authorized.
   */
  readonly path: string
  /** Without the `?`; empty where there is none. */
  readonly query: string
  /** By names in lower case, without what a client may not say (forwarding headers, identities). */
  readonly headers: Readonly<NodeJS.Dict<string | string[]>>
  /** The client's address, behind the configured number of trusted hops. */
  readonly remoteAddress: string
  /** The face whose host, root or port was addressed: `internal` or `public`. */
  readonly face: string
  /** The service that the route leads to; missing where there is none. */
  readonly service?: string
  /** The path below the service's root, with its leading slash; there where {@link service} is. */
  readonly pathInService?: string
}

/** What the gateway answers by itself. Without a body it sends none. */
export interface GatewayAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}
