#!/usr/bin/env bash
# Installs what the local stack needs from the system and does not find: a JDK, Maven, RabbitMQ and Redis.
#
#   prerequisites.sh            say what is missing, and install it from the packages of Debian or Ubuntu
#   prerequisites.sh --tests    also what the tests need: npm, ip to make a second host, openssl, wrong clocks, PostgreSQL
#   prerequisites.sh --bench    also what the benchmark needs: Go, Node.js, npm, PostgreSQL
#   prerequisites.sh --check    only say so
#
# Exit 0: all is there. 1: the installation failed. 2: wrong usage. 3: something is missing and may not be installed
# by this user; the command that would do it is the last line of the output. Installed servers are neither started nor
# enabled: `procos up` runs its own, on its own ports. Everything is said on stderr.
set -euo pipefail

readonly JAVA_NEEDED=17
readonly APT_OPTIONS=(-o DPkg::Lock::Timeout=120 -o Acquire::http::Timeout=30 -o Acquire::Retries=2)
readonly POLICY=/usr/sbin/policy-rc.d

missing=()
as_root=()
for_tests=no
for_bench=no

main() {
  local check_only=no
  for option in "$@"; do
    case $option in
      --check) check_only=yes ;;
      --tests) for_tests=yes ;;
      --bench) for_bench=yes ;;
      *) say "usage: prerequisites.sh [--check] [--tests] [--bench]"; exit 2 ;;
    esac
  done
  find_missing
  if ((${#missing[@]} == 0)); then
    say "prerequisites: all there"
    return
  fi
  say "prerequisites: missing: ${missing[*]}"
  if [[ $check_only == yes ]] || ! may_install; then
    say "install with:"
    say "  $(command_line)"
    exit 3
  fi
  install_missing
}

find_missing() {
  missing=()
  has_jdk || missing+=("$(jdk_package)")
  command -v mvn >/dev/null || missing+=(maven)
  has_server rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server || missing+=(rabbitmq-server)
  has_server redis-server /usr/bin/redis-server || missing+=(redis-server)
  if [[ $for_tests == yes ]]; then
    has_server ip /usr/sbin/ip || missing+=(iproute2)
    command -v openssl >/dev/null || missing+=(openssl)
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
  fi
  if [[ $for_bench == yes ]]; then
    has_server go /usr/local/go/bin/go || missing+=(golang-go)
    command -v node >/dev/null || missing+=(nodejs)
  fi
  if [[ $for_tests == yes || $for_bench == yes ]]; then
    command -v npm >/dev/null || missing+=(npm)
    has_postgres || missing+=(postgresql)
  fi
}

has_jdk() {
  local compiler="${JAVA_HOME:+$JAVA_HOME/bin/}javac" version
  version=$("$compiler" -version 2>&1 | sed -n 's/^javac \([0-9][0-9]*\).*/\1/p') || true
  [[ -n $version ]] && ((version >= JAVA_NEEDED))
}

# Servers may lie where only root's path leads.
has_server() {
  command -v "$1" >/dev/null || [[ -x $2 ]]
}

# Its programs are on nobody's path: each release has a folder of its own.
has_postgres() {
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# Later releases have later JDKs alone; any from 17 on will do.
jdk_package() {
  if apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1; then
    printf 'openjdk-17-jdk-headless'
  else
    printf 'default-jdk-headless'
  fi
}

may_install() {
  command -v apt-get >/dev/null || return 1
  if ((EUID == 0)); then
    return
  fi
  as_root=(sudo -n)
  "${as_root[@]}" true 2>/dev/null
}

command_line() {
  local sudo=""
  ((EUID == 0)) || sudo="sudo "
  if command -v apt-get >/dev/null; then
    printf '%sapt-get update && %sapt-get install -y --no-install-recommends %s' "$sudo" "$sudo" "${missing[*]}"
  else
    printf "your system's package manager: a JDK of version %s or newer, Maven, RabbitMQ, Redis" "$JAVA_NEEDED"
  fi
}

install_missing() {
  say "prerequisites: installing them with apt-get"
  apt update || fail "apt-get update failed"
  # Only now is it known which JDKs there are.
  find_missing
  hold_services
  apt install -y --no-install-recommends "${missing[@]}" || fail "apt-get install failed"
  release_services
  local installed=("${missing[@]}")
  disable_services "${installed[@]}"
  find_missing
  ((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}"
  say "prerequisites: installed ${installed[*]}"
}

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" "$@" >&2
}

# Debian starts a server as soon as it is installed, unless this file says no. One that is there already is the
# machine's own policy and stays.
hold_services() {
  [[ -e $POLICY ]] && return
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$POLICY" >/dev/null
  "${as_root[@]}" chmod 755 "$POLICY"
  trap release_services EXIT
}

release_services() {
  if [[ $(trap -p EXIT) == *release_services* ]]; then
    trap - EXIT
    "${as_root[@]}" rm -f "$POLICY"
  fi
}

# Nor shall they start with the machine's next boot, and hold the ports.
disable_services() {
  [[ -d /run/systemd/system ]] || return 0
  for package in "$@"; do
    case $package in
      rabbitmq-server | redis-server | postgresql) "${as_root[@]}" systemctl disable --quiet "$package" >&2 || true ;;
    esac
  done
}

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "prerequisites: $1"
  exit 1
}

main "$@"
