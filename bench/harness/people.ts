/** The resources that all variants serve: 1,000 people of about 150 bytes of JSON each. */

export interface Person {
  readonly id: string
  readonly name: string
  readonly email: string
  readonly city: string
  readonly role: (typeof roles)[number]
  readonly active: boolean
  readonly age: number
}

/** What a service checks where it checks anything. */
export const personSchema = {
  type: 'object',
  required: ['name', 'email'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 100 },
    email: { type: 'string', maxLength: 200 },
    city: { type: 'string' },
    role: { enum: ['reader', 'author', 'editor'] },
    active: { type: 'boolean' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
  },
  additionalProperties: false,
} as const

const cities = ['Lisbon', 'Tromsø', 'Valparaíso', 'Nairobi', 'Sapporo']
const roles = ['reader', 'author', 'editor'] as const

/** The person of a number, always the same. */
export function createPerson(number: number): Person {
  return {
    id: `person-${number}`,
    name: `Person number ${number} of them all`,
    email: `person-${number}@mail.example.com`,
    city: cities[number % cities.length]!,
    role: roles[number % roles.length]!,
    active: number % 4 !== 0,
    age: 18 + (number % 60),
  }
}
