#!/usr/bin/env bash
# Every AI topic from a model of its own, with the local model. Answers of so small a model are childish: it shows the way.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/dev/prerequisites.sh
make --silent --no-print-directory .venv/.complete
deploy/engine/build.sh > /dev/null

export PATH="$PWD/.venv/bin:$PATH"
procos up --detach
procos deploy
ask() { # process, result variable, further arguments
    printf '\n── %s\n' "$1" >&2
    procos run "$1" --vars-file "processes/$1/sample.json" --result "$2" --timeout 180 "${@:3}"
}
ask ai_query_process ai_response --var max_tokens=60
ask text_generation_process ai_response
ask ai_completion_process completed_text
ask text_extraction_process extracted
ask code_analysis_process findings
ask ai_agent_process ai_response
cat >&2 <<END

The stack stays up: \`.venv/bin/procos status\` shows how it is, \`.venv/bin/procos down\` stops it.
END
