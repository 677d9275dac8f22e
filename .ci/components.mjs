// What a release is made of, from `cargo metadata` on stdin: the licence texts of all dependencies below licenses/, and a list of
// components (CycloneDX 1.5) in countersign.cdx.json. Says nothing that differs from one build of a commit to the next.
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const [folder, binary, list] = process.argv.slice(2)
const metadata = JSON.parse(readFileSync(0, 'utf8'))
const packages = new Map(metadata.packages.map((one) => [one.id, one]))
const nodes = new Map(metadata.resolve.nodes.map((one) => [one.id, one]))

// What is linked, and the macros that write code in it; not what only tests take. `NAME vVERSION` begins each line of the list.
const names = new Set(readFileSync(list, 'utf8').split('\n').map((line) => line.split(' ').slice(0, 2).join(' ')))
const linked = new Set(metadata.packages.filter((one) => names.has(`${one.name} v${one.version}`)).map((one) => one.id))
if (linked.size < 2) throw new Error('nothing is linked')

// Sums of the sources, as Cargo.lock has them.
const sums = new Map()
for (const block of readFileSync('Cargo.lock', 'utf8').split('[[package]]').slice(1)) {
  const field = (name) => block.match(new RegExp(`^${name} = "(.*)"$`, 'm'))?.[1]
  sums.set(`${field('name')}@${field('version')}`, field('checksum'))
}

const purl = (one) => `pkg:cargo/${one.name}@${one.version}`
const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
// Older crates write a slash where SPDX has OR.
const licence = (one) => (one.license ?? 'NOASSERTION').replace(/\s*\/\s*/g, ' OR ')

const root = packages.get(metadata.resolve.root)
const others = [...linked].map((id) => packages.get(id)).filter((one) => one !== root)
others.sort((a, b) => order(purl(a), purl(b)))

const lines = []
for (const one of others) {
  const source = dirname(one.manifest_path)
  const texts = readdirSync(source).filter((name) => /^(licen[cs]e|copying|notice|unlicense|copyright)/i.test(name)).sort()
  const files = texts.filter((name) => !name.endsWith('.rs'))
  const target = join(folder, 'licenses', `${one.name}-${one.version}`)
  if (files.length > 0) mkdirSync(target, { recursive: true })
  for (const name of files) {
    try { copyFileSync(join(source, name), join(target, name)) } catch (error) { if (error.code !== 'EISDIR' && error.code !== 'ERR_FS_EISDIR') throw error }
  }
  lines.push(`${one.name} ${one.version}: ${licence(one)}${files.length > 0 ? '' : ' (its package has no text)'}`)
}
mkdirSync(join(folder, 'licenses'), { recursive: true })
writeFileSync(join(folder, 'licenses', 'LIST'), `${lines.join('\n')}\n`)

const component = (one) => {
  const sum = sums.get(`${one.name}@${one.version}`)
  return {
    type: 'library',
    'bom-ref': purl(one),
    name: one.name,
    version: one.version,
    purl: purl(one),
    licenses: [{ expression: licence(one) }],
    ...(sum ? { hashes: [{ alg: 'SHA-256', content: sum }] } : {}),
  }
}
const sha256 = createHash('sha256').update(readFileSync(binary)).digest('hex')
const uuid = sha256.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-5$3-8$4-$5')
const bom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  serialNumber: `urn:uuid:${uuid}`,
  version: 1,
  metadata: {
    timestamp: new Date(Number(process.env.SOURCE_DATE_EPOCH) * 1000).toISOString(),
    component: {
      type: 'application',
      'bom-ref': purl(root),
      name: root.name,
      version: root.version,
      purl: purl(root),
      licenses: [{ expression: licence(root) }],
      hashes: [{ alg: 'SHA-256', content: sha256 }],
    },
  },
  components: others.map(component),
  dependencies: [...linked].map((id) => ({
    ref: purl(packages.get(id)),
    dependsOn: nodes.get(id).deps.filter((dep) => linked.has(dep.pkg) && dep.dep_kinds.some((kind) => kind.kind === null))
      .map((dep) => purl(packages.get(dep.pkg))).sort(order),
  })).sort((a, b) => order(a.ref, b.ref)),
}
writeFileSync(join(folder, 'countersign.cdx.json'), `${JSON.stringify(bom, null, 2)}\n`)
