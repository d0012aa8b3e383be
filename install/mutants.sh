#!/usr/bin/env bash
# Changes the pure core in two thousand small ways and asks of each whether a test notices: ./install/mutants.sh [--anew]
#
# The core and the tests that need nothing else are copied to a crate of their own, $MUTANTS_DIR (target/mutants), and built
# once with all mutants (mutants.py). Those that outcome.json there calls caught are not run again, unless with --anew.
# SHARD=0/5 takes every fifth. docs/reliability/mutants.md says what was found. Installs cargo-mutants, which lists the
# mutants, if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh
require_rust
cargo mutants --version > /dev/null 2>&1 || cargo install --locked cargo-mutants
crate=${MUTANTS_DIR:-target/mutants}
switch=$PWD/install/mutants.py

modules=(dag check runner/engine cli/diagnostic.rs runner/driver_log/line.rs)
tests=(oracle files faults fuzz_files reference zones)
needed='annotate-snippets|chrono|cron|jiff|minijinja|petgraph|proptest|regex|serde|serde_json|strsim|tempfile|thiserror|toml'

mkdir -p "$crate"
rm -rf "$crate"/{src,tests,docs}
mkdir -p "$crate"/src/{cli,runner/driver} "$crate"/{tests,docs}
for module in "${modules[@]}"; do
  cp -R "src/$module" "$crate/src/$module"
done
cp -R docs/reference "$crate/docs/"
cp -R tests/{oracle,files,faults} "$crate/tests/"
{
  echo 'pub mod check;'
  echo 'pub mod dag;'
  echo 'pub mod cli { pub mod diagnostic; }'
  echo 'pub mod runner { pub mod driver { pub mod line; } pub mod engine; }'
  echo '#[cfg(test)] extern crate self as crondag;'
  for name in "${tests[@]}"; do
    cp "tests/$name.rs" "$crate/tests/"
    echo "#[cfg(test)] #[path = \"../tests/$name.rs\"] mod test_$name;"
  done
  cp -R tests/engine "$crate/tests/"
  echo '#[cfg(test)] #[path = "../tests/engine/main.rs"] mod test_engine;'
} > "$crate/src/lib.rs"
{
  printf '[package]\nname = "crondag"\nversion = "0.0.0"\nedition = "2024"\nautotests = false\n[dependencies]\n'
  grep -E "^($needed) = " Cargo.toml
  printf '[profile.dev]\ndebug = false\n[profile.dev.package."*"]\nopt-level = 2\n[workspace]\n'
} > "$crate/Cargo.toml"
cp Cargo.lock "$crate/"

cd "$crate"
cargo mutants --list --json -f 'src/dag/**' -f 'src/runner/engine/**' -f src/check/judge.rs -f src/check/observe.rs -f src/check/reconcile.rs > list.json
python3 "$switch" list.json "${SHARD:-0/1}" "$@"
