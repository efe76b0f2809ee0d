#!/usr/bin/env bash
# Builds the engine jar once and prints its path.
#
# The jar lies in a cache under a name made from the content of pom.xml and src/, so a second call only looks.
# stdout carries the path alone; progress and errors go to stderr. Maven works on a copy in the cache: nothing is
# written into the checkout. Exit 1: the build failed; 2: wrong usage; 3: Maven or a JDK is missing.
set -euo pipefail

readonly SOURCES=(pom.xml src)
readonly JAVA_NEEDED=17
readonly HEARTBEAT_S=10
readonly LIMIT_S=1800

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache="${PROCOS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/procos}/engine"
work=""
maven_pid=""

main() {
  local tests=no
  read_arguments "$@"
  local jar
  jar="$cache/$(sources_key)/procos-engine.jar"
  if [[ $tests == no && -f $jar ]]; then
    printf '%s\n' "$jar"
    return
  fi
  require_tools
  mkdir -p -- "$cache"
  take_lock
  # Whoever held the lock may have built just this jar.
  if [[ $tests == yes || ! -f $jar ]]; then
    build "$jar"
  fi
  printf '%s\n' "$jar"
}

read_arguments() {
  for argument in "$@"; do
    case $argument in
      --test) tests=yes ;;
      -h | --help)
        printf 'usage: build.sh [--test]\nBuilds the engine jar if need be and prints its path; --test runs its tests too.\n'
        exit 0
        ;;
      *) fail 2 "unknown argument $argument; usage: build.sh [--test]" ;;
    esac
  done
}

sources_key() {
  cd -- "$here"
  find "${SOURCES[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

require_tools() {
  local missing="install them with: apt-get install maven openjdk-17-jdk-headless (or a newer JDK)"
  command -v mvn >/dev/null || fail 3 "Maven (mvn) is missing; $missing"
  local compiler="${JAVA_HOME:+$JAVA_HOME/bin/}javac" version
  version=$("$compiler" -version 2>&1 | sed -n 's/^javac \([0-9][0-9]*\).*/\1/p') || true
  [[ -n $version ]] || fail 3 "a JDK of version $JAVA_NEEDED or newer is missing ($compiler does not run); $missing"
  ((version >= JAVA_NEEDED)) || fail 3 "the JDK is too old: $compiler is version $version, $JAVA_NEEDED is needed; $missing"
}

take_lock() {
  exec 9>"$cache/.lock"
  flock -n 9 && return
  say "another build is running; waiting for it"
  flock -w "$LIMIT_S" 9 || fail 1 "the other build still holds $cache/.lock after $LIMIT_S s"
}

build() {
  local jar=$1 started=$SECONDS
  # The lock is ours, so a work folder found now belongs to a build that was killed.
  rm -rf -- "$cache"/.build.*
  work=$(mktemp -d "$cache/.build.XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  (cd -- "$here" && cp -R -- "${SOURCES[@]}" "$work/")
  package
  mkdir -p -- "$(dirname -- "$jar")"
  mv -f -- "$work/target/procos-engine.jar" "$jar"
  say "the engine is built: $((SECONDS - started)) s in all"
}

# Tries without the network first, so that a download happens apart, is announced, and has its own time.
package() {
  local goals=(-DskipTests package)
  [[ $tests == yes ]] && goals=(verify)
  maven "building the engine" --offline "${goals[@]}" && return
  parts_are_missing || fail_with_log "the build failed"
  say "downloading the engine's parts (about 130 MB) ..."
  maven "downloading the engine's parts" dependency:go-offline || fail_with_log "the download failed"
  maven "building the engine" "${goals[@]}" || fail_with_log "the build failed"
}

parts_are_missing() {
  grep -qi 'offline' -- "$work/maven.log"
}

# Runs Maven on the copy, says now and then that it still runs and at the end how long it took, and ends it at the limit.
maven() {
  local doing=$1 started=$SECONDS elapsed said=0 code=0
  shift
  (cd -- "$work" && exec mvn -B --no-transfer-progress "$@") >"$work/maven.log" 2>&1 9>&- &
  maven_pid=$!
  while kill -0 "$maven_pid" 2>/dev/null; do
    sleep 0.2
    elapsed=$((SECONDS - started))
    ((elapsed < LIMIT_S)) || fail_with_log "$doing was stopped after $elapsed s"
    if ((elapsed - said >= HEARTBEAT_S)); then
      said=$elapsed
      say "$doing: $elapsed s ..."
    fi
  done
  wait "$maven_pid" || code=$?
  maven_pid=""
  ((code != 0)) || say "$doing took $((SECONDS - started)) s"
  return "$code"
}

clean_up() {
  if [[ -n $maven_pid ]]; then
    kill "$maven_pid" 2>/dev/null || true
  fi
  if [[ -n $work ]]; then
    rm -rf -- "$work"
  fi
}

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "engine build: $2"
  exit "$1"
}

fail_with_log() {
  say "the last lines of Maven:"
  tail -n 40 -- "$work/maven.log" >&2 || true
  fail 1 "$1"
}

main "$@"
