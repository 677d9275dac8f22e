// YAML as runners read it, by npm `yaml`: one JSON string with a text a line, one JSON value a line as the answer.
import { createInterface } from 'node:readline'
import { parse } from 'yaml'

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(parse(JSON.parse(line), { version: '1.2', uniqueKeys: true })))
}
