// Reads one JSON document a line from stdin and writes one a line to stdout: `{"ok": answer}`, or `{"error": why}`.
import { readFileSync, writeSync } from "node:fs";

export const answerLines = async (act) => {
  const answers = [];
  for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
    let answer;
    try {
      answer = { ok: await act(JSON.parse(line)) };
    } catch (error) {
      answer = { error: String(error.message) };
    }
    answers.push(`${JSON.stringify(answer)}\n`);
  }
  let rest = Buffer.from(answers.join(""));
  while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
};
