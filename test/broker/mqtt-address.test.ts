import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseMqttUrl } from '../../src/broker/mqtt-address.ts'

describe('MQTT address', () => {
  const forms: Record<string, Partial<ReturnType<typeof parseMqttUrl>>> = {
    'mqtt://localhost': {
      protocol: 'mqtt',
      host: 'localhost',
      port: 1883,
      path: '',
      shown: 'mqtt://localhost:1883',
    },
    'mqtt://localhost/': { path: '', shown: 'mqtt://localhost:1883' },
    'mqtts://broker.example': { protocol: 'mqtts', port: 8883 },
    'ws://broker.example': { protocol: 'ws', port: 80, path: '/' },
    'wss://broker.example:443/mqtt?token=x': {
      port: 443,
      path: '/mqtt?token=x',
      shown: 'wss://broker.example:443/mqtt',
    },
    'mqtt://[::1]:1884': { host: '::1', port: 1884, shown: 'mqtt://[::1]:1884' },
    'mqtt://service:secret@localhost': {
      username: 'service',
      password: 'secret',
      shown: 'mqtt://localhost:1883',
    },
    'mqtt://a%40b:%3A%2F@localhost': { username: 'a@b', password: ':/' },
    'mqtt://service@localhost': { username: 'service', password: undefined },
  }
  for (const [url, expected] of Object.entries(forms)) {
    it(`reads ${url}`, () => {
      const address = parseMqttUrl(url)
      assert.deepEqual({ ...address, ...expected }, address)
    })
  }
})
