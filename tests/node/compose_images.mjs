// Which images Docker Compose texts name, by npm `yaml`: one JSON string with a text a line, one JSON object a line as the answer.
// What Compose makes of the tree is said here anew, by compose-go's loader: documents one after the other, `services` by name,
// a later image in the place of an earlier one unless services extend each other.
import { createInterface } from 'node:readline'
import { parseAllDocuments } from 'yaml'

const isMap = (value) => value instanceof Map

function roots(text) {
  const documents = parseAllDocuments(text, { version: '1.1', uniqueKeys: true })
  return documents.map((document) => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS({ mapAsMap: true, maxAliasCount: -1 })
  })
}

function answer(text) {
  const all = roots(text).filter((root) => root !== null && root !== undefined)
  if (all.length === 0 || !all.every(isMap)) return { ok: false }
  const services = new Map()
  const ways = new Set()
  const images = new Set()
  let extending = false
  for (const root of all) {
    if (root.has('include')) ways.add('include')
    for (const model of isMap(root.get('models')) ? root.get('models').keys() : []) if (model) ways.add('model')
    const own = root.get('services')
    if (own === null || own === undefined) continue
    if (!isMap(own)) return { ok: false }
    for (const [name, body] of own) {
      if (body === null) continue
      if (!isMap(body)) return { ok: false }
      const service = services.get(name) ?? { images: [], bodies: [] }
      services.set(name, service)
      service.bodies.push(body)
      extending ||= body.has('extends')
      if (typeof body.get('image') === 'string') service.images.push(body.get('image'))
    }
  }
  if (services.size === 0) return { ok: false }
  for (const { images: named, bodies } of services.values()) {
    for (const image of extending ? named : named.slice(-1)) images.add(image)
    for (const body of bodies) {
      if (body.has('build')) ways.add('build')
      if (body.has('provider')) ways.add('provider')
      if (isMap(body.get('extends')) && body.get('extends').get('file')) ways.add('extends')
      for (const hook of Array.isArray(body.get('pre_start')) ? body.get('pre_start') : []) {
        if (isMap(hook) && typeof hook.get('image') === 'string') images.add(hook.get('image'))
      }
      for (const volume of Array.isArray(body.get('volumes')) ? body.get('volumes') : []) {
        if (isMap(volume) && volume.get('type') === 'image') images.add(volume.get('source'))
      }
    }
  }
  return { ok: true, images: [...images].sort(), ways: [...ways].sort() }
}

for await (const line of createInterface({ input: process.stdin })) {
  let said
  try {
    said = answer(JSON.parse(line))
  } catch {
    said = { ok: false }
  }
  console.log(JSON.stringify(said))
}
