#!/usr/bin/env bash
# Runs each target for its share of TIME seconds: `run.sh TIME [TARGET...]`. SEED fixes the random numbers, RUNS ends a target
# after so many inputs. What was found stays in target/fuzz-found; the corpora here are only read.
set -euo pipefail
cd "$(dirname "$0")"

top=$(cd ../.. && pwd)
time=${1:?seconds for all targets together}
shift
export CARGO_TARGET_DIR=$top/target/fuzz
export RUSTC_WRAPPER=$PWD/rustc.sh RUSTFLAGS="--cfg fuzzing --cfg fuzzing_libfuzzer"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, flags and wrapper are not those of build scripts.
build=(cargo test --locked --profile fuzz --target "$host" --no-run)
"${build[@]}"
program=$("${build[@]}" --message-format=json 2>/dev/null | grep -o '"executable":"[^"]*targets-[^"]*"' | cut -d'"' -f4)

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(ls __fuzz__)
fi
share=$((time / ${#targets[@]}))
[ "$share" -gt 0 ] || share=1
failed=0
for target in "${targets[@]}"; do
  kept=$top/target/fuzz-found/$target
  mkdir -p "$kept/corpus"
  log=$kept/log
  # An input that takes ten seconds or 1 GiB is a finding, and so is a single allocation of that size.
  vectors=
  [ "$target" != compose_text ] || vectors=$top/tests/vectors/compose
  arguments="$kept/corpus $PWD/__fuzz__/$target/corpus $vectors -artifact_prefix=$kept/ -max_total_time=$share -timeout=10
    -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 -seed=${SEED:-1} -runs=${RUNS:--1}"
  dictionary=$PWD/__fuzz__/$target/words.dict
  [ ! -f "$dictionary" ] || arguments="$arguments -dict=$dictionary"
  # The program takes one space between two of them.
  read -r -d '' -a parts <<<"$arguments" || true
  if BOLERO_LIBFUZZER_ARGS="${parts[*]}" "$program" --exact "$target" --nocapture --test-threads=1 >"$log" 2>&1; then
    result=passed
  else
    result=FAILED
    failed=1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  echo "$target: $result, ${runs:-?} inputs, ${speed:-?} a second"
  [ "$result" = passed ] || tail -n 40 "$log"
done
exit "$failed"
