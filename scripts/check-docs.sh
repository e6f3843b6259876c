#!/usr/bin/env bash
# Checks the documents: relative links lead to files, make targets exist. Reads no prose.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
complain() {
  printf 'check-docs: %s\n' "$*" >&2
  failed=1
}

documents=$(git ls-files --cached --others --exclude-standard '*.md')
while read -r document; do
  while read -r link; do
    path=${link%%#*}
    [[ -z $path || $path == *://* || $path == mailto:* ]] && continue
    [[ -e $(dirname "$document")/$path ]] || complain "$document: $link leads nowhere"
  done < <(grep -oE '\]\([^)]+\)' "$document" | sed -E 's/^\]\(//; s/\)$//')
  # In code only: "`make demo`" or a line of a code block.
  while read -r target; do
    grep -qE "^$target:" Makefile || complain "$document: no make target '$target'"
  done < <(grep -oE '(^|`)make [a-z-]+' "$document" | sed -E 's/.*make //' | sort -u)
done <<<"$documents"

((failed == 0)) && echo "documents: links and make targets hold"
exit "$failed"
