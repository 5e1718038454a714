// CouchDB's API over PouchDB, in memory.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const express = require('express')
const PouchDB = require('pouchdb').defaults({ adapter: 'memory' })
PouchDB.plugin(require('pouchdb-adapter-memory'))
const app = express()
app.use('/', require('express-pouchdb')(PouchDB, { mode: 'minimumForPouchDB', inMemoryConfig: true }))
app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('up'))
