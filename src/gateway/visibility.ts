/** The port to what a face answers: it is read from the services' own documents. */

/** Says which operations exist for a face. What it does not show is 404, never 403. */
export interface Visibility {
  /**
   * Whether the face has this operation. `pathInService` begins with a slash and is normalised. MUST NOT throw, and MUST
   * say no of a service about which nothing is known yet, unless the face sees everything. `version` is missing outside of versions.
   */
  isVisible(
    face: string,
    service: string,
    method: string,
    pathInService: string,
    version?: string | undefined,
  ): boolean
}
