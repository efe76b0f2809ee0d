#!/usr/bin/env bash
# From nothing to an answered question. Each part of the work says how long it took; what is downloaded is timed apart.
set -euo pipefail
cd "$(dirname "$0")/../.."
question=${QUESTION:-What is a process engine?}

begun=$SECONDS
deploy/dev/prerequisites.sh
make --silent --no-print-directory .venv/.complete
deploy/engine/build.sh > /dev/null
installed=$((SECONDS - begun))

begun=$SECONDS
export PATH="$PWD/.venv/bin:$PATH"
procos up --detach
procos deploy
procos run ai_query_process --var "user_query=$question" --var max_tokens=80 --result ai_response
cat >&2 <<END

Answered in $((SECONDS - begun)) s, after $installed s of installing and building (nothing of it is needed again).
The stack stays up: look at it with \`procos status\`, ask again with

    .venv/bin/procos run ai_query_process --var user_query="…"

and stop it with \`.venv/bin/procos down\`.
END
