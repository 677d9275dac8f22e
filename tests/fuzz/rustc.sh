#!/bin/sh
# The compiler, as Cargo calls it for fuzzing: libFuzzer is led by the branches and comparisons of this program and of the
# parsers below it, and by nothing else. The rest runs as fast as it can, and a socket's luck is no new path.
# What runs while the rest is built, macros and build scripts, is built without `--target`, and cannot be led.
case " $* " in
  *" --target "*) ;;
  *) exec "$@" ;;
esac
case " $* " in
  *" --crate-name countersign "* | *" --crate-name countersign_fuzz "* | *" --crate-name targets "* | \
  *" --crate-name serde_json "* | *" --crate-name saphyr_parser "* | *" --crate-name const_hex "* | *" --crate-name hex "*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
  *) exec "$@" ;;
esac
