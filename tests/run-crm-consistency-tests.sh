#!/usr/bin/env bash
# The consistency tests of the requirement, by level:
#
#   tests/run-crm-consistency-tests.sh --level=all        # or: --level all
#
#   unit         the formulas, the table of checks, what is shown of them: no servers
#   integration  one test per check (a broken row is named), scores, runs, the command: Postgres
#   e2e          rows that real processes wrote: everything, with stand-ins for Cal.com and Retell
#   sql          every check over the database of a running `cargo dev up --detach` (target/dev/env), or of DATABASE_URL: each check is a test
#   browser      the portal brings them
#
# Counts are taken from what the runner prints, and a level in which fewer ran than it must have has failed. What each level printed is kept in target/results/.
# Run it in a shell that has not read target/dev/env: `cargo dev test` takes its servers from DATABASE_URL if that is set.
# Exit code: 0 every level that was asked for passed, 1 one did not, 2 it was asked for something that it does not know.
# CONSISTENCY_RESULTS, CONSISTENCY_ENV_FILE and FRONTDESK (the operator's command) name other places; its own test uses them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

usage() { echo "usage: tests/run-crm-consistency-tests.sh --level=unit|integration|e2e|browser|sql|all"; }
refuse() { echo "$1" >&2; usage >&2; exit 2; }

level=
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --level=*) level=${1#--level=}; shift ;;
    --level) [ $# -ge 2 ] || refuse "--level needs a word"; level=$2; shift 2 ;;
    *) refuse "$1 is not understood" ;;
  esac
done
case "$level" in
  unit | integration | e2e | browser | sql) levels=$level ;;
  all) levels="unit integration e2e browser sql" ;;
  "") refuse "which level?" ;;
  *) refuse "there is no level $level" ;;
esac

results=${CONSISTENCY_RESULTS:-target/results}
env_file=${CONSISTENCY_ENV_FILE:-target/dev/env}
mkdir -p "$results"
failed=0

# tell LEVEL PASSED RAN AT_LEAST STATUS: the level's line, and whether it counts
tell() {
  local line="$1: $2 of $3 passed"
  if [ "$5" -ne 0 ] || [ "$2" -ne "$3" ] || [ "$3" -lt "$4" ]; then
    [ "$3" -lt "$4" ] && line="$line, at least $4 must run"
    [ "$2" -eq "$3" ] && [ "$5" -ne 0 ] && line="$line, but the runner ended with $5"
    line="$line: FAILED (see $results/$1.txt)"
    failed=1
  fi
  echo "$line" | tee -a "$results/summary.txt"
}

# count WHAT FILE: passed or run tests, as nextest's summary has them, or else the sum of cargo's own
count() {
  if grep -q 'tests\? run:' "$2"; then
    case "$1" in
      run) grep -E 'tests? run:' "$2" | tail -n 1 | sed -E 's/.* ([0-9]+)(\/[0-9]+)? tests? run:.*/\1/' ;;
      passed) grep -E 'tests? run:' "$2" | tail -n 1 | sed -E 's/.*run: ([0-9]+) passed.*/\1/; t; s/.*/0/' ;;
    esac
  else
    awk -v what="$1" '/^test result:/ { passed += $4; failed += $6 } END { print what == "run" ? passed + failed : passed + 0 }' "$2"
  fi
}

# tests LEVEL AT_LEAST COMMAND…: runs it, shows and keeps what it prints
run_tests() {
  local name=$1 at_least=$2 status=0
  shift 2
  "$@" 2>&1 | tee "$results/$name.txt" || status=$?
  tell "$name" "$(count passed "$results/$name.txt")" "$(count run "$results/$name.txt")" "$at_least" "$status"
}

# The table of `frontdesk check consistency`: one line per check, its last word how many rows are wrong.
sql() {
  local file="$results/sql.txt" status=0 command=${FRONTDESK:-}
  if [ ! -f "$env_file" ] && [ -z "${DATABASE_URL:-}" ]; then
    echo "there is no $env_file and no DATABASE_URL: cargo dev up --detach" | tee "$file"
    tell sql 0 0 15 1
    return
  fi
  (
    # shellcheck disable=SC1090
    [ -f "$env_file" ] && . "$env_file"
    "${command:-$(command -v frontdesk || echo target/debug/frontdesk)}" check consistency
  ) >"$file" 2>&1 || status=$?
  cat "$file"
  local checks='$4 ~ /^(backfill|engineering|operations|support)$/ && $5 ~ /^[0-9]+$/'
  local ran passed
  ran=$(awk "$checks { n++ } END { print n + 0 }" "$file")
  passed=$(awk "$checks && NF == 6 && \$6 == 0 { n++ } END { print n + 0 }" "$file")
  awk "$checks && !(NF == 6 && \$6 == 0) { print \"violated: \" \$1 }" "$file"
  tell sql "$passed" "$ran" 15 "$status"
}

: >"$results/summary.txt"
for one in $levels; do
  printf '\n== %s\n' "$one"
  case "$one" in
    unit) run_tests unit 12 cargo test --workspace --lib consistency ;;
    integration) run_tests integration 10 cargo dev test --yes consistency::broken_rows consistency::scores consistency::runs ;;
    e2e) run_tests e2e 8 cargo dev test --yes consistency::end_to_end ;;
    sql) sql ;;
    browser)
      echo "browser: 0 of 9, not yet" | tee "$results/browser.txt" | tee -a "$results/summary.txt"
      # asked for by name it has not passed; among all it does not count
      if [ "$level" = browser ]; then failed=1; fi
      ;;
  esac
done

printf '\n== results (%s)\n' "$results"
cat "$results/summary.txt"
exit "$failed"
